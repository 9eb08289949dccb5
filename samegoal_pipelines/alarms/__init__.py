"""How a message reaches people: channels. What it says, and whether it is sent, is decided elsewhere."""
