import json

import pytest

from engine.errors import ConfigError
from engine.records.answers import check_answer, number
from engine.running.graph import build
from engine.schema import Sample, Text
from specialists import CATALOG
from specialists.language import Language
from tests.shared_data import shared

pytest.importorskip("py3langid")

SENTENCES = {
    "en": ("A dog runs along the beach.", "Two women sit on a bench in the park.", "A black car before an old house"),
    "de": ("Ein Hund läuft am Strand entlang.", "Zwei Frauen sitzen im Park.", "Schwarzes Auto vor einem alten Haus"),
    "fr": ("Un chien court le long de la plage.", "Deux femmes sont assises.", "Voiture noire devant une maison"),
    "es": ("Un perro corre por la playa.", "Dos mujeres están sentadas en un banco.", "Zapatos rojos de mujer"),
    "ja": ("犬が浜辺を走っている。", "古い家の前の黒い車", "帽子をかぶった男性が新聞を読んでいる。"),
    "zh": ("一只狗在海滩上奔跑。", "老房子前的黑色汽车", "一个戴帽子的男人在看报纸。"),
    "ru": ("Две женщины сидят на скамейке.", "Чёрная машина перед старым домом", "Мужчина в шляпе читает газету."),
}

# A sentence or a name in each of further languages. Of all these texts one is taken for English: "rode auto".
FURTHER = (
    *(
        "En hund springer på stranden.",
        "Två kvinnor sitter på en bänk i parken.",
        "En svart bil framför ett gammalt hus",
    ),
    *(
        "röd bil",
        "Sahilde koşan bir köpek.",
        "Parkta bir bankta oturan iki kadın",
        "kırmızı araba",
        "Pes běží po pláži.",
    ),
    *("Dvě ženy sedí na lavičce v parku.", "červené auto", "Un cane corre sulla spiaggia.", "macchina rossa"),
    *("Due donne sedute su una panchina", "Um cachorro corre na praia.", "Duas mulheres sentadas em um banco"),
    *("carro vermelho", "Een hond rent over het strand.", "Twee vrouwen zitten op een bank in het park.", "rode auto"),
    *(
        "Pies biegnie po plaży.",
        "Dwie kobiety siedzą na ławce",
        "czerwony samochód",
        "Seekor anjing berlari di pantai.",
    ),
    *("Dua wanita duduk di bangku taman", "mobil merah", "Một con chó chạy trên bãi biển.", "كلب يركض على الشاطئ."),
    *(
        "Hai người phụ nữ ngồi trên ghế",
        "امرأتان تجلسان على مقعد",
        "एक कुत्ता समुद्र तट पर दौड़ता है।",
        "Un câine aleargă pe plajă.",
    ),
    *("Două femei stau pe o bancă", "En hund løber på stranden.", "To kvinder sidder på en bænk i parken."),
    *("Koira juoksee rannalla.", "Kaksi naista istuu penkillä", "Egy kutya fut a tengerparton.", "Két nő ül egy padon"),
    *("개가 해변을 달린다.", "공원 벤치에 앉은 두 여자", "สุนัขวิ่งบนชายหาด", "Ένας σκύλος τρέχει στην παραλία."),
    *("Собака біжить по пляжу.", "Дві жінки сидять на лавці"),
)


def loaded(*languages: str) -> Language:
    specialist = Language(languages=list(languages)) if languages else Language()
    specialist.load()
    return specialist


def sample(*texts: str, producer: str = "web") -> Sample:
    given = [Text(words, "brief", id=f"{producer}/{place}", producer=producer) for place, words in enumerate(texts)]
    return Sample("a", 10, 10, texts=given)


@pytest.fixture(scope="module")
def language() -> Language:
    return loaded()


@pytest.mark.parametrize("code", SENTENCES)
def test_sentences_get_their_language(language: Language, code: str) -> None:
    found = [language.identify(text) for text in SENTENCES[code]]
    assert [name for name, _ in found] == [code] * 3
    assert all(0.5 < probability <= 1 for _, probability in found)


def test_captions_of_at_least_seven_words_are_english(language: Language) -> None:
    lines = (shared("captions/dev") / "coco_val2017.jsonl").read_text(encoding="utf-8").splitlines()[::5]
    found = [language.identify(json.loads(line)["text"]) for line in lines]
    assert sum(code == "en" for code, _ in found) > 0.999 * len(found)
    assert not [code for code, probability in found if code != "en" and probability >= 0.6]


def test_a_few_words_get_a_low_confidence(language: Language) -> None:
    assert language.identify("Cactus")[1] < 0.5
    assert language.identify("Nike Air Max 90")[1] < 0.5


@pytest.mark.parametrize("text", ["TWO MEN PLAY TENNIS ON THE COURT", "tWO MEN PLAY TENNIS ON THE COURT"])
def test_capitals_make_no_difference(language: Language, text: str) -> None:
    code, probability = language.identify(text)
    assert (code, probability > 0.9) == ("en", True)


@pytest.mark.parametrize("text", ["", "   ", "...", "42", "\n\t"])
def test_a_text_without_words_is_undetermined(language: Language, text: str) -> None:
    assert language.identify(text) == ("und", 0.0)
    assert loaded("en", "sr").identify(text) == ("und", 0.0)


@pytest.mark.parametrize("text", ["\ud800", "🐈‍⬛", "a\x00b", "word " * 20_000, "字" * 5000])
def test_any_text_has_an_answer(language: Language, text: str) -> None:
    code, probability = language.identify(text)
    assert code
    assert 0 <= probability <= 1


def test_each_text_has_a_score_whose_parent_it_is(language: Language) -> None:
    one = sample("A dog runs along the beach.", "Ein Hund läuft am Strand entlang.")
    (answer,) = language.annotate([one])
    assert check_answer(answer, one, Language.gives) == ""
    number(answer, "language")
    assert [(score.name, score.code, score.parents) for score in answer.image_scores] == [
        ("language", "en", ["web/0"]),
        ("language", "de", ["web/1"]),
    ]
    assert all(score.score == score.value > 0.8 for score in answer.image_scores)


def test_an_image_without_texts_has_an_empty_answer(language: Language) -> None:
    assert language.annotate([sample()])[0].image_scores == []


def test_texts_of_every_node_are_identified() -> None:
    recipe = {
        "language": {"use": "language"},
        "human": {"use": "human"},
        "fake": {"use": "fake_captioner"},
    }
    node = next(node for node in build(recipe, CATALOG) if node.name == "language")
    assert dict(node.inputs) == {"human": ("texts",), "fake": ("texts",)}


LABELS = (
    "traffic light",
    "dining table",
    "hair drier",
    "potted plant",
    "A red bus",
    "tennis racket",
    "Two zebras graze",
)


@pytest.mark.parametrize("text", LABELS)
def test_a_few_english_words_are_english_unless_another_language_is_ahead_by_the_margin(text: str) -> None:
    assert loaded("en", *SENTENCES).identify(text)[0] == "en"


def test_without_a_margin_the_most_probable_language_is_chosen() -> None:
    bare = Language(margin=0)
    bare.load()
    assert "en" not in {bare.identify(text)[0] for text in ("rode auto", "mobil merah", "tennis racket")}


def test_the_first_language_is_the_expected_one() -> None:
    wanted = Language(languages=["nl", "en", "fr"], margin=0.9)
    wanted.load()
    assert wanted.identify("rode auto")[0] == "nl"


def test_texts_in_other_languages_are_not_identified_as_english(language: Language) -> None:
    foreign = [text for code, texts in SENTENCES.items() if code != "en" for text in texts] + list(FURTHER)
    assert len(foreign) == 62
    assert [text for text in foreign if language.identify(text)[0] == "en"] == ["rode auto"]


def test_only_the_given_languages_are_chosen() -> None:
    romance = loaded("fr", "es")
    assert {romance.identify(text)[0] for texts in SENTENCES.values() for text in texts} <= {"fr", "es"}
    assert [romance.identify(text)[0] for text in SENTENCES["fr"]] == ["fr"] * 3


def test_with_fewer_languages_a_short_text_has_a_higher_confidence(language: Language) -> None:
    few = loaded("en", "de", "fr", "es")
    assert few.identify("Red bus")[1] > 0.5 > language.identify("Red bus")[1]


def test_answers_do_not_depend_on_the_batch(language: Language) -> None:
    batch = [sample(*texts) for texts in SENTENCES.values()] + [sample(), sample("...")]
    alone = [language.annotate([one])[0] for one in batch]
    assert language.annotate(batch) == loaded().annotate(batch) == alone


def test_a_single_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="has one language, 'en'"):
        Language(languages=["en"])


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="Unknown language 'english'"):
        loaded("de", "english")
