"""English for class labels: articles, plurals, counting ("a pair of scissors", "two sheep"), and synonyms.

A synonym must mean the class or a kind of it: a kitten is a cat. But a mug need not be a COCO cup, and a seat need not
be a chair. A wrong synonym grounds a phrase on the wrong object, while a missing one only leaves the phrase without a
region.

The library inflect 7.6 was tried on the names of COCO and ImageNet and is not used: it writes "two skiss", "two
broccolis" and "two flamingoes". Besides, other plurals would change the texts of existing data sets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


def spaced(words: str) -> tuple[str, ...]:
    """The names in a string, which are separated by spaces. An underscore stands for a space inside a name."""
    return tuple(word.replace("_", " ") for word in words.split())


NUMBERS = spaced("no one two three four five six seven eight nine ten eleven twelve")

# Each is a single object, but has a plural name in English.
PAIRS = frozenset(
    spaced(
        "scissors skis pants trousers jeans shorts glasses sunglasses goggles headphones binoculars pliers tongs "
        "tweezers pyjamas pajamas leggings tights"
    )
)
MASSES = frozenset(
    spaced(
        "broccoli bread food fruit cheese meat cutlery furniture luggage clothing jewelry jewellery garlic lettuce "
        "cabbage popcorn sushi bacon ham beef pork tofu chocolate celery asparagus wood paper cardboard mail trash "
        "garbage rubbish litter silverware tableware glassware equipment machinery footwear underwear soap"
    )
)
# Cannot be counted, not even in pieces. The text is "some water" for any number of boxes.
STUFF = frozenset(
    spaced(
        "water milk tea wine juice soup butter honey sugar flour salt sauce ketchup mustard cereal rice pasta "
        "spaghetti corn spinach seafood ice sand snow mud gravel hay grass smoke fog foliage vegetation hair money "
        "traffic toothpaste shampoo"
    )
)
UNCHANGING = frozenset(spaced("sheep deer moose bison shrimp squid salmon trout tuna swine"))
IRREGULAR = {same: same for same in UNCHANGING} | dict(
    pair.split(":")
    for pair in spaced(
        "person:people man:men woman:women child:children mouse:mice goose:geese foot:feet tooth:teeth ox:oxen "
        "knife:knives leaf:leaves shelf:shelves wolf:wolves loaf:loaves calf:calves scarf:scarves wife:wives "
        "potato:potatoes tomato:tomatoes mango:mangoes hero:heroes quiz:quizzes bus:buses half:halves hoof:hooves "
        "thief:thieves elf:elves"
    )
)
# Labels that are plurals although they do not end in "s".
PLURALS = frozenset(IRREGULAR.values()) - UNCHANGING | frozenset(("cattle", "police", "poultry", "dice"))
ONE_FORM = ("fish", "craft")  # endings of nouns whose plural equals the singular, such as "goldfish" and "aircraft"
NO_MAN = frozenset(spaced("human german roman ottoman talisman shaman caiman walkman"))
CAPITALS = {"tv": "TV", "suv": "SUV", "cd": "CD", "dvd": "DVD", "atm": "ATM"}
PLURAL_FORM = re.compile(r".*(?<![sui])s")  # "flowers", but neither "glass" nor "cactus" nor "tennis"
SINGULAR_IN_S = frozenset(spaced("gas lens canvas atlas christmas"))
LIKE_YOU = re.compile(r"(uni(?!n|m)|us[abeu]|eu|ewe|uk|urin|uten|one\b|ufo\b|tv\b)", re.IGNORECASE)
SILENT_H = re.compile(r"(hour|honest|honou?r|heir)", re.IGNORECASE)
SPELT_VOWEL = re.compile(r"(SUV|ATM|X-|8|11\b|18\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Noun:
    """The singular and plural of a class. `bare`: the form without an article ("broccoli") if the class has one, else
    ''.
    """

    one: str
    many: str
    bare: str = ""
    always_plural: bool = False  # for a label such as "flowers": one region may contain any number of them

    @property
    def uncounted(self) -> bool:
        """Whether it cannot be counted, as water."""
        return self.bare == self.many

    def indefinite(self, count: int, *, most: int = 0) -> str:
        """ "a cat", "two cats". Above `most` it is "more than ten cats"; `most` 0 sets no limit."""
        if self.always_plural or self.uncounted or (count == 1 and self.bare):
            return f"some {self.bare or self.many}"
        if count == 1:
            return f"{article(self.one)} {self.one}"
        if most and count > most:
            return f"more than {number(most)} {self.many}"
        return f"{number(count)} {self.many}"

    def vague(self, word: str) -> str:
        """ "several cats"; for nouns like flowers and rice "some flowers" and "some rice", which is true for any
        number.
        """
        return f"some {self.bare or self.many}" if self.always_plural or self.bare else f"{word} {self.many}"

    def is_plural(self, count: int) -> bool:
        return self.always_plural or (count > 1 and not self.uncounted)


def noun(label: str) -> Noun:
    words = [CAPITALS.get(word, word) for word in label.replace("_", " ").lower().split()]
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]  # a label given as a phrase: "a red car"
    name, last = " ".join(words), words[-1] if words else ""
    head, of, rest = name.partition(" of ")
    if of:
        things = noun(head)  # "glass of wine", "slices of pizza"
        return Noun(f"{things.one} of {rest}", f"{things.many} of {rest}", always_plural=things.always_plural)
    if last in PAIRS:
        return Noun(f"pair of {name}", f"pairs of {name}")
    if last in PLURALS:
        return Noun(name, name, always_plural=True)
    if last in STUFF or name.endswith("ice cream"):
        return Noun(name, name, bare=name)
    if last in MASSES:
        return Noun(f"piece of {name}", f"pieces of {name}", bare=name)
    if PLURAL_FORM.fullmatch(last) and last not in SINGULAR_IN_S and last not in IRREGULAR:
        return Noun(name, name, always_plural=True)
    return Noun(name, plural(name))


def plural(name: str) -> str:
    """The plural of a singular name. The last word changes; in "glass of wine" it is the word before "of"."""
    head, of, rest = name.partition(" of ")
    if of:
        return plural(head) + of + rest
    before, space, word = name.rpartition(" ")
    if word in IRREGULAR:
        form = IRREGULAR[word]
    elif word.endswith(ONE_FORM):
        form = word
    elif word.endswith("man") and word not in NO_MAN:
        form = word[:-2] + "en"
    elif re.search(r"(s|x|z|ch|sh)$", word):
        form = word + "es"
    elif re.search(r"[^aeiou]y$", word):
        form = word[:-1] + "ies"
    else:
        form = word + "s"
    return before + space + form


def article(words: str) -> str:
    if SPELT_VOWEL.match(words) or SILENT_H.match(words):
        return "an"
    return "an" if words[:1].lower() in tuple("aeiou") and not LIKE_YOU.match(words) else "a"


def number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def listed(parts: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": spaced(
        "man woman child boy girl kid baby toddler infant lady gentleman guy adult teenager teen skier snowboarder "
        "surfer skateboarder rider cyclist bicyclist motorcyclist pedestrian batter catcher umpire "
        "baseball_player tennis_player soccer_player player boarder chef cook waiter policeman police_officer officer "
        "firefighter fireman soldier student worker farmer cowboy bride groom swimmer biker skater human passenger "
        "spectator bystander businessman fisherman mother father son daughter grandmother grandfather"
    ),
    "bicycle": ("bike", "cycle", "pushbike"),
    "car": ("automobile", "sedan", "suv", "hatchback", "taxi", "taxicab", "cab", "minivan", "police car"),
    "motorcycle": ("motorbike", "motor bike", "motor cycle", "moped", "motor scooter", "dirt bike"),
    "airplane": ("aeroplane", "plane", "jet", "airliner", "jetliner", "biplane", "aircraft", "jumbo jet", "seaplane"),
    "bus": ("double decker", "minibus", "omnibus", "coach bus"),
    "train": (
        *(
            "locomotive",
            "steam engine",
            "train engine",
            "locomotive engine",
            "train car",
            "train carriage",
            "train wagon",
        ),
        *("railroad car", "railway car", "rail car", "train caboose"),
    ),
    "truck": ("lorry", "pickup", "firetruck"),
    "boat": ("ship", "sailboat", "canoe", "kayak", "rowboat", "ferry", "yacht", "gondola", "motorboat", "speedboat"),
    "traffic light": ("stoplight", "stop light", "traffic signal"),
    "fire hydrant": ("hydrant", "fireplug", "fire plug"),
    "stop sign": ("stopsign",),
    "parking meter": ("parkingmeter",),
    "bench": ("park bench",),
    "bird": spaced("seagull gull pigeon duck goose swan parrot owl eagle crow sparrow ostrich pelican heron"),
    "cat": ("kitten", "kitty", "tabby"),
    "dog": ("puppy", "hound", "terrier", "poodle", "bulldog", "dachshund", "labrador", "collie", "pit bull"),
    "horse": ("pony", "foal", "mare", "stallion", "colt"),
    "sheep": ("lamb", "ewe"),
    "cow": ("calf", "bull", "steer", "ox", "heifer"),
    "bear": ("grizzly", "bear cub", "panda"),
    "backpack": ("rucksack", "knapsack", "back pack"),
    "umbrella": ("parasol",),
    "handbag": ("purse", "hand bag"),
    "tie": ("necktie", "neck tie", "bow tie", "bowtie"),
    "frisbee": ("frisby", "flying disc"),
    "skis": ("ski",),
    "snowboard": ("snow board",),
    "sports ball": spaced("ball baseball football basketball volleyball soccer_ball tennis_ball"),
    "baseball bat": ("bat",),
    "baseball glove": ("baseball mitt", "catcher's mitt", "mitt"),
    "skateboard": ("skate board",),
    "surfboard": ("surf board",),
    "tennis racket": ("racket", "racquet", "tennis racquet"),
    "wine glass": ("wineglass", "glass of wine"),
    "sandwich": ("sub", "burger", "hamburger", "cheeseburger", "panini"),
    "hot dog": ("hotdog", "frankfurter"),
    "pizza": ("pizza pie", "pizza slice"),
    "donut": ("doughnut", "donut hole", "doughnut hole"),
    "cake": ("cupcake", "birthday cake", "cheesecake"),
    "chair": ("armchair", "wheelchair", "recliner"),
    "couch": ("sofa", "loveseat", "settee"),
    "potted plant": ("houseplant", "house plant", "pot plant"),
    "dining table": ("dinner table", "table", "kitchen table"),
    "tv": ("television", "television set", "tv set", "television screen", "tv screen", "tv monitor"),
    "laptop": ("laptop computer", "notebook computer"),
    "mouse": ("computer mouse",),
    "remote": ("remote control", "remote controller", "wiimote"),
    "cell phone": ("phone", "cellphone", "mobile phone", "smartphone", "iphone"),
    "microwave": ("microwave oven",),
    "oven": ("stove", "stove top oven", "stove top", "stovetop"),
    "refrigerator": ("fridge", "refridgerator", "refrigerator freezer", "fridge freezer"),
    "teddy bear": ("teddy", "stuffed bear"),
    "hair drier": ("hair dryer", "hairdryer", "blow dryer"),
}
# Words for several objects of a class that are not a plural of a word above.
COLLECTIVE: dict[str, str] = dict.fromkeys(("people", "persons", "folks", "crowd"), "person") | {
    "cattle": "cow",
    "luggage": "suitcase",
    "baggage": "suitcase",
}
# Names that end in the name of a class but mean something else.
LOOKALIKES: tuple[str, ...] = (
    *("toy car", "toy train", "toy truck", "toy boat", "toy airplane", "toy bus", "rubber duck", "stuffed dog"),
    *("stuffed cat", "stuffed animal", "toy dog", "coffee table", "pool table", "side table", "end table"),
    *("cd player", "dvd player", "record player", "mp3 player", "media player", "train car", "railroad car"),
    *("railway car", "rail car"),
    *("cable car", "toilet bowl"),
)
