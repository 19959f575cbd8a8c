"""The eleven classes of toytown, and void for what has none."""

from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy

TOYTOWN_TAXONOMY = Taxonomy(
    "toytown12",
    (
        ClassInfo(0, "sky", (132, 196, 232), "stuff"),
        ClassInfo(1, "building", (166, 110, 92), "stuff"),
        ClassInfo(2, "road", (92, 84, 108), "stuff"),
        ClassInfo(3, "pavement", (214, 178, 196), "stuff"),
        ClassInfo(4, "vegetation", (96, 152, 72), "stuff"),
        ClassInfo(5, "fence", (196, 156, 104), "stuff"),
        ClassInfo(6, "car", (44, 92, 188), "thing"),
        ClassInfo(7, "person", (224, 62, 84), "thing"),
        ClassInfo(8, "bicyclist", (148, 40, 132), "thing"),
        ClassInfo(9, "pole", (240, 226, 168), "thing", thin=True),
        ClassInfo(10, "sign", (248, 176, 32), "thing", thin=True, text=True),
    ),
)
"""Traffic lights count as signs, grass as vegetation, garden walls as fences, bicycles with their
riders as bicyclists; bins and bollards are void, as what a real dataset leaves out."""

SKY = TOYTOWN_TAXONOMY.class_id("sky")
BUILDING = TOYTOWN_TAXONOMY.class_id("building")
ROAD = TOYTOWN_TAXONOMY.class_id("road")
PAVEMENT = TOYTOWN_TAXONOMY.class_id("pavement")
VEGETATION = TOYTOWN_TAXONOMY.class_id("vegetation")
FENCE = TOYTOWN_TAXONOMY.class_id("fence")
CAR = TOYTOWN_TAXONOMY.class_id("car")
PERSON = TOYTOWN_TAXONOMY.class_id("person")
BICYCLIST = TOYTOWN_TAXONOMY.class_id("bicyclist")
POLE = TOYTOWN_TAXONOMY.class_id("pole")
SIGN = TOYTOWN_TAXONOMY.class_id("sign")
