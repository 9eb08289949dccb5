"""The words that synthetic people, streets and districts are named with.

Accents, apostrophes, hyphens and names of two parts are here on purpose: Texas districts have them.
"""

from __future__ import annotations


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


GIRLS = _list(
    "Emma|Olivia|Ava|Harper|Abigail|Madison|Chloe|Addison|Brooklyn|Kennedy|Aaliyah|Imani|Nevaeh|Destiny|"
    "Jada|Savannah|Paisley|Kinsley|Hadley|Reagan|Siân|Renée|Zoe|Anne-Marie|Mary-Kate|Faith|Grace|Hannah|"
    "Riley|Peyton|Skylar|Trinity|Morgan|Autumn|Makayla|D'Asia|Ke'Nya|Autumn-Rose|Charlotte|Amelia|Evelyn|"
    "Nora|Hazel|Lily|Ruby"
)
BOYS = _list(
    "Liam|Noah|Mason|Wyatt|Jackson|Carter|Hunter|Colton|Landon|Easton|Jaxon|Tyler|Malik|Darius|Xavier|"
    "DeShawn|Tyrell|Marcus|Isaiah|Elijah|Caleb|Levi|Bennett|Weston|Grady|Beau|Seán|Jean-Luc|Andre|Trevon|"
    "D'Andre|Ja'Marcus|Ethan|Owen|Henry|Theodore|Jack|Samuel|Gavin|Cooper|Parker|Austin|Dallas|Houston|"
    "Cody"
)
GIRLS += _list(
    "María|José|Sofía|Camila|Valentina|Isabella|Ximena|Lucía|Daniela|Gabriela|Mariana|Renata|Ana|Andrea|"
    "Natalia|Alejandra|Guadalupe|Esmeralda|Yaretzi|Paloma|Inés|Rocío|Zoë|Fernanda|Leticia|Rosario|"
    "Marisol|Itzel|Noemí|Verónica|Graciela|Beatriz|Abril|Dulce|Perla|Jazmín|Araceli|Yolanda|Estrella"
)
BOYS += _list(
    "José|Luis|Carlos|Diego|Santiago|Mateo|Sebastián|Ángel|Jesús|Emiliano|Leonardo|Adrián|Iván|Óscar|"
    "Andrés|Raúl|Rubén|Héctor|Joaquín|Rafael|Gael|Maximiliano|Fernando|Eduardo|Ramón|Tomás|Julián|"
    "Armando|Esteban|Gilberto|Rogelio|Arturo|Nicolás|César|Martín|Hugo|Saúl|Efraín|Ignacio|Abel"
)
GIRLS += _list("Linh|Mai|Thảo|Anh|Priya|Aisha|Mei|Yuna|Fatima|Leilani|Grace|Hana|Jasmine|Ngọc|Ananya")
BOYS += _list("Minh|Khoa|Hùng|Arjun|Omar|Wei|Jin|Kai|Rohan|Tuấn|Ahmad|Daniel|Ryan|Duy|Vikram")
LAST_NAMES = _list(
    "García|Hernández|Martínez|López|González|Rodríguez|Pérez|Sánchez|Ramírez|Torres|Flores|Rivera|Gómez|"
    "Díaz|Reyes|Morales|Cruz|Ortiz|Gutiérrez|Chávez|Ramos|Ruiz|Mendoza|Álvarez|Castillo|Jiménez|Vásquez|"
    "Romero|Moreno|Herrera|Medina|Aguilar|Garza|Castro|Vargas|Guzmán|Treviño|Salinas|Cantú|Peña|"
    "Villarreal|Zúñiga|Núñez|Ibáñez|Muñoz|Ochoa|de la Cruz|De León|de la Garza|Del Toro|de los Santos|"
    "San Miguel"
)
LAST_NAMES += _list(
    "Smith|Johnson|Williams|Brown|Jones|Davis|Miller|Wilson|Anderson|Taylor|Thomas|Moore|Jackson|Martin|"
    "Lee|Thompson|White|Harris|Clark|Lewis|Robinson|Walker|Young|Allen|King|Wright|Scott|Hill|Green|"
    "Adams|Nelson|Baker|Hall|Campbell|Mitchell|Carter|Roberts|Turner|Phillips|Parker|Evans|Edwards|"
    "Collins|Stewart|Morris|Rogers|Reed|Cook|Bell|Murphy|Bailey|Cooper|Richardson|Cox|Howard|Ward|Brooks|"
    "Watson|Washington|Jefferson|Booker|Gaines|Null|None|O'Brien|O'Neal|D'Angelo|McDonald|MacArthur|"
    "Schäfer|Krüger|Bluebonnet|Kowalski|Dvořák|Van Buren|St. John|Von Rosenberg|Mc Allister|Ten Eyck"
)
LAST_NAMES += _list("Nguyễn|Tran|Lê|Phạm|Huỳnh|Vo|Patel|Khan|Singh|Kim|Chen|Wang|Ali|Hassan|Santos|Kealoha")
NICKNAMES = {
    "Alejandra": "Ale",
    "Charlotte": "Charlie",
    "Eduardo": "Lalo",
    "Guadalupe": "Lupita",
    "Ignacio": "Nacho",
    "Jackson": "Jack",
    "José": "Pepe",
    "Samuel": "Sam",
    "Theodore": "Teddy",
    "Xavier": "Javi",
}
"""Legal name → the name in use."""
STREETS = _list(
    "Mesquite|Live Oak|Pecan|Bluebonnet|Comanche|Old Mill|Windmill|Cottonwood|Rio Bravo|San Saba|"
    "Prickly Pear|Longhorn|Armadillo|Sam Houston|Caddo|Lone Star|Cenizo|Huisache|Bois d'Arc|Dry Creek|"
    "Cañon|Farm to Market 1472|County Road 214|Mockingbird|Whispering Winds|Palo Pinto|Nueces|Agarita|"
    "Redbud|Roadrunner"
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
COUNTIES = _list(
    "Alvarado|Bexley|Calloway|Dunmore|Esperanza|Fennimore|Gallatin|Hardeman|Springs|Ignacio|Juniper|Keller"
)
SCHOOL_PEOPLE = _list(
    "Barbara Jordan|Lorenzo de Zavala|Stephen Austin|Jovita Idár|Bessie Coleman|Juan Seguín|"
    "Emma Tenayuca|Audie Murphy|Katherine Porter|Santos Benavides|Dorothy Scarborough|Américo Paredes|"
    "Scott Joplin|Mary Kay|Blackshear|Crockett|Travis|Bonham|Milam|Fannin|Zaragoza|Lamar|Rusk|Burnet|"
    "Deaf Smith"
)
COMPANIES = _list(
    "Lone Star Janitorial Supply|Hill Country Produce|Gulf Coast Bus Parts|Panhandle Printing|"
    "Brazos Office Products|Permian Water Service|Rio Grande Uniforms|Pineywoods Lumber"
)
AREA_CODES = _list("210|254|325|361|409|432|512|806|830|903|915|936|956")
