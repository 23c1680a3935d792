"""Which noun is the subject or the object of which verb, as lemmas.

    subject   a man rides / a man who rides / a man riding / ridden by a man
    object    rides a horse / a horse ridden / a horse is ridden / a horse that is ridden

Members of an enumeration share relations: in "a man and a dog sit and wait", both sit and both wait. Pronouns,
auxiliaries and forms of "be" have none. All positions are among the tokens of a batch.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from engine.schema import Relation
from specialists.spacy_parse.columns import Columns, Ints
from specialists.spacy_parse.lemmas import Lemmas
from specialists.spacy_parse.word_classes import Classifier, WordClasses

SUBJECT, OBJECT = 1, 2
ROLES = ("", "subject", "object")
Links = tuple[Ints, Ints, Ints]  # positions of nouns, positions of their verbs, roles


class Relations:
    """Finds the relations of a batch of texts."""

    def __init__(self, classifier: Classifier, lemmas: Lemmas) -> None:
        self.tags, self.dependencies = classifier.tags, classifier.dependencies
        self.lemmas = lemmas

    def __call__(self, t: Columns, lower: list[str], classes: WordClasses) -> list[list[Relation]]:
        """The relations of each text, in the order of their verbs."""
        verb, role = self._roles(t, classes)
        first = t.first_conjuncts(classes.conjunct)
        parts = [*self._of_nouns(t, classes, verb, role, first), *self._of_clauses(t, classes)]
        links = _real(classes, _joined(parts))
        links = _joined([links, self._shared(classes, verb, role, first, links)])
        return self._by_text(t, lower, classes, links)

    def _roles(self, t: Columns, classes: WordClasses) -> tuple[Ints, Ints]:
        """(verb, role) of each token by its own dependency. The role is 0 if it is neither subject nor object."""
        has, found = self.dependencies.has, classes.dependency
        role = np.where(has(found, "subject"), SUBJECT, 0)
        role[has(found, "object") | has(found, "passive_subject")] = OBJECT
        verb = t.head.copy()
        by = np.flatnonzero(has(found, "of_preposition") & has(found[t.head], "agent"))
        role[by], verb[by] = SUBJECT, t.head[t.head[by]]
        role[classes.corrected - 1], verb[classes.corrected - 1] = SUBJECT, classes.corrected
        return verb, role

    def _of_nouns(self, t: Columns, classes: WordClasses, verb: Ints, role: Ints, first: Ints) -> list[Links]:
        """Nouns with a role, later members of enumerations, and nouns that a relative pronoun stands for."""
        linked = role > 0
        own = np.flatnonzero(classes.noun & linked)
        listed = np.flatnonzero(classes.noun & classes.conjunct & ~linked & linked[first])
        relative = self.tags.has(classes.tag, "relative") & linked
        who = np.flatnonzero(relative & self.dependencies.has(classes.dependency[verb], "relative_clause"))
        return [
            (own, verb[own], role[own]),
            (listed, verb[first[listed]], role[first[listed]]),
            (t.head[verb[who]], verb[who], role[who]),
        ]

    def _of_clauses(self, t: Columns, classes: WordClasses) -> list[Links]:
        """Nouns that a participle follows: "a man riding", "a horse ridden"."""
        clause = self.dependencies.has(classes.dependency, "clause_of_noun")
        riding = np.flatnonzero(clause & self.tags.has(classes.tag, "gerund"))
        ridden = np.flatnonzero(clause & self.tags.has(classes.tag, "past_participle"))
        subject, object_ = np.full(len(riding), SUBJECT), np.full(len(ridden), OBJECT)
        return [(t.head[riding], riding, subject), (t.head[ridden], ridden, object_)]

    def _shared(self, classes: WordClasses, verb: Ints, role: Ints, first: Ints, links: Links) -> Links:
        """The subjects of later verbs of an enumeration that have none of their own: "a man sits and waits"."""
        named = self.dependencies.has(classes.dependency, "subject") | (role == SUBJECT)
        has_subject = np.zeros(len(verb), np.bool_)
        has_subject[verb[named | self.dependencies.has(classes.dependency, "passive_subject")]] = True
        later = np.flatnonzero(classes.action & classes.conjunct & ~has_subject & classes.action[first])
        chosen = (links[2] == SUBJECT) & np.isin(links[1], first[later])
        subjects: dict[int, list[int]] = defaultdict(list)
        for noun, of in zip(links[0][chosen].tolist(), links[1][chosen].tolist(), strict=True):
            subjects[of].append(noun)
        participle = self.tags.has(classes.tag, "past_participle")  # "a man sitting, dressed in black"
        rows = [
            (noun, at, OBJECT if participle[at] else SUBJECT)
            for at in later.tolist()
            for noun in subjects.get(int(first[at]), ())
        ]
        nouns, verbs, roles = np.array(rows, np.int64).reshape(-1, 3).T
        return nouns, verbs, roles

    def _by_text(self, t: Columns, lower: list[str], classes: WordClasses, links: Links) -> list[list[Relation]]:
        nouns, verbs, roles = (column[np.lexsort((links[0], links[1]))] for column in links)
        inflected = self.tags.has(classes.tag, "inflected")
        found: list[list[Relation]] = [[] for _ in t.lengths]
        rows = zip(
            (np.searchsorted(t.bounds, verbs, side="right") - 1).tolist(),
            verbs.tolist(),
            nouns.tolist(),
            roles.tolist(),
            inflected[verbs].tolist(),
            (inflected & ~classes.proper)[nouns].tolist(),
            strict=True,
        )
        for owner, verb, noun, role, verb_inflected, noun_inflected in rows:
            action, thing = lower[verb], lower[noun]
            found[owner].append(
                Relation(
                    self.lemmas(action, "verb") if verb_inflected else action,
                    ROLES[role],
                    self.lemmas(thing, "noun") if noun_inflected else thing,
                )
            )
        return found


def _joined(parts: list[Links]) -> Links:
    nouns, verbs, roles = (np.concatenate(column) for column in zip(*parts, strict=True))
    return nouns, verbs, roles


def _real(classes: WordClasses, links: Links) -> Links:
    """The links between a noun and a verb that counts as an action."""
    nouns, verbs, roles = links
    real = classes.noun[nouns] & classes.action[verbs]
    return nouns[real], verbs[real], roles[real]
