"""Names for synthetic people, streets and districts.

Accents, apostrophes, hyphens and names of two parts are here on purpose: Texas districts have them.
"""


def _list(text: str) -> list[str]:
    return text.split("|")


GIRLS = _list(
    "Emma|Olivia|Ava|Harper|Madison|Chloe|Brooklyn|Kennedy|Aaliyah|Imani|Destiny|Savannah|Siân|Renée|"
    "Anne-Marie|Mary-Kate|Grace|Hannah|D'Asia|Ke'Nya|Autumn-Rose|Charlotte|Evelyn|Ruby|María|José|Sofía|"
    "Camila|Valentina|Isabella|Ximena|Lucía|Daniela|Mariana|Alejandra|Guadalupe|Yaretzi|Paloma|Inés|Rocío|"
    "Zoë|Rosario|Itzel|Noemí|Verónica|Jazmín|Estrella|Linh|Mai|Thảo|Priya|Aisha|Mei|Fatima|Leilani|Ngọc"
)
BOYS = _list(
    "Liam|Noah|Mason|Wyatt|Jackson|Carter|Hunter|Colton|Tyler|Malik|Darius|Xavier|DeShawn|Marcus|Isaiah|"
    "Elijah|Caleb|Levi|Beau|Seán|Jean-Luc|D'Andre|Ja'Marcus|Ethan|Theodore|Samuel|Houston|José|Luis|Carlos|"
    "Diego|Santiago|Mateo|Sebastián|Ángel|Jesús|Emiliano|Adrián|Iván|Óscar|Raúl|Rubén|Héctor|Joaquín|Gael|"
    "Eduardo|Ramón|Tomás|Nicolás|César|Saúl|Efraín|Ignacio|Minh|Hùng|Arjun|Omar|Wei|Rohan|Tuấn|Ahmad|Vikram"
)
LAST_NAMES = _list(
    "García|Hernández|Martínez|López|González|Rodríguez|Pérez|Sánchez|Ramírez|Torres|Flores|Rivera|Gómez|"
    "Díaz|Reyes|Morales|Cruz|Ortiz|Gutiérrez|Chávez|Álvarez|Jiménez|Garza|Treviño|Cantú|Peña|Villarreal|"
    "Zúñiga|Núñez|Muñoz|Ochoa|de la Cruz|De León|de la Garza|Del Toro|de los Santos|San Miguel|Smith|"
    "Johnson|Williams|Brown|Jones|Davis|Miller|Wilson|Anderson|Taylor|Thomas|Moore|Jackson|Lee|White|"
    "Harris|Robinson|Walker|Young|King|Washington|Jefferson|Booker|Null|None|O'Brien|O'Neal|D'Angelo|"
    "McDonald|MacArthur|Schäfer|Krüger|Kowalski|Dvořák|Van Buren|St. John|Von Rosenberg|Mc Allister|Ten Eyck|"
    "Nguyễn|Tran|Lê|Phạm|Huỳnh|Vo|Patel|Khan|Singh|Kim|Chen|Wang|Ali|Hassan|Santos|Kealoha"
)
NICKNAMES = {
    "Alejandra": "Ale",
    "Charlotte": "Charlie",
    "Eduardo": "Lalo",
    "Guadalupe": "Lupita",
    "Jackson": "Jack",
    "José": "Pepe",
    "Theodore": "Teddy",
}
"""Legal name → the name in use."""
STREETS = _list(
    "Mesquite|Live Oak|Pecan|Bluebonnet|Comanche|Old Mill|Windmill|Cottonwood|Rio Bravo|San Saba|Longhorn|"
    "Sam Houston|Lone Star|Huisache|Bois d'Arc|Cañon|Farm to Market 1472|County Road 214|Mockingbird|Nueces"
)
STREET_TYPES = _list("St|Ave|Dr|Ln|Rd|Ct|Blvd|Trl|Cir|Way")
TOWN_FIRST = _list(
    "Cedar|Dry|Mesquite|Lone|Sandy|Rio|Prairie|Copper|Bluebonnet|Wild|Salt|Twin|Cotton|Eagle|Granite|"
    "Silver|Red|Pecan|Coyote|Marble|Willow|Honey|Stone|Antelope|Flint|Palo|Big|Clear|Thunder|Amber"
)
TOWN_SECOND = _list(
    "Hollow|Fork|Flats|Butte|Springs|Crossing|Draw|Mesa|Bluff|Gap|Creek|Prairie|Bend|Ranch|Canyon|Hills|"
    "Ford|Lake|Valley|Junction|Ridge|Wells|Rock|Grove|Plains|Point|Pass|Landing|Mott|Arroyo"
)
COUNTIES = _list("Alvarado|Bexley|Calloway|Dunmore|Esperanza|Fennimore|Gallatin|Hardeman|Ignacio|Juniper")
SCHOOL_PEOPLE = _list(
    "Barbara Jordan|Lorenzo de Zavala|Stephen Austin|Jovita Idár|Bessie Coleman|Juan Seguín|Emma Tenayuca|"
    "Audie Murphy|Katherine Porter|Santos Benavides|Dorothy Scarborough|Américo Paredes|Scott Joplin|"
    "Crockett|Travis|Bonham|Milam|Fannin|Zaragoza|Lamar|Rusk|Burnet|Deaf Smith"
)
AREA_CODES = _list("210|254|325|361|409|432|512|806|830|903|915|936|956")
