"""Random operations on every kind of gallery, against a plain dict and float64.

`XNN_EXAMPLES=20` runs twenty times as many.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from xnn.database import MasterKey
from xnn.errors import BundleMismatchError, DuplicateError, LimitError, UnknownNameError
from xnn.gallery import GalleryLimits, StoredGallery, open_gallery
from xnn.gallery.approximate import GraphSettings
from xnn.gallery.rotation import seal_anew

WIDTH = 5
TENANTS, SUBJECTS, BUNDLES, KEYS = ["t", "u"], ["a", "b", "c", "d"], ["one", "two"], [None, "k"]
MOST = 6
POOL = np.random.default_rng(0).normal(size=(8, WIDTH)).astype(np.float32)

tenants, subjects = st.sampled_from(TENANTS), st.sampled_from(SUBJECTS)
bundles, keys = st.sampled_from(BUNDLES), st.sampled_from(KEYS)
vectors = st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=3)


def score(first: int, second: int) -> float:
    a, b = (POOL[i].astype(np.float64) for i in (first, second))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class Galleries(RuleBasedStateMachine):
    """Two openings of one gallery, as of two processes, and what should be in it."""

    address: str
    master_key: MasterKey
    options: dict

    @initialize()
    def begin(self) -> None:
        self.where = self.fresh_address()
        self.opened = [self.open(), self.open()]
        self.people: dict[str, dict[str, dict]] = {tenant: {} for tenant in TENANTS}
        self.retired: set[tuple[str, str]] = set()
        self.erased: list[str] = []
        self.requests = 0
        self.last = None
        self.steps = 0
        for number, subject in enumerate(SUBJECTS):
            self.enrol("t", subject, [number, number + 1], "one", None, True, number % 2)
        self.both_openings_find_what_is_there()
        first = next(iter(self.people["t"]["a"]))
        self.opened[0].erase_template("t", first)
        del self.people["t"]["a"][first]
        self.delete("t", "b", 1)

    def fresh_address(self) -> str:
        raise NotImplementedError

    def open(self) -> StoredGallery:
        limits = GalleryLimits(templates_per_subject=MOST)
        return open_gallery(self.where, self.master_key, limits=limits, **self.options)

    @rule(tenant=tenants, subject=subjects, which=st.integers(0, 1))
    def create(self, tenant, subject, which) -> None:
        if subject in self.people[tenant]:
            with pytest.raises(DuplicateError):
                self.opened[which].create_subject(tenant, subject)
        else:
            self.opened[which].create_subject(tenant, subject)
            self.people[tenant][subject] = {}

    @rule(
        tenant=tenants,
        subject=subjects,
        rows=vectors,
        bundle=bundles,
        key=keys,
        create=st.booleans(),
        which=st.integers(0, 1),
    )
    def enrol(self, tenant, subject, rows, bundle, key, create, which) -> None:
        self.requests += 1
        options = {
            "bundle_id": bundle,
            "key_id": key,
            "create": create,
            "request_id": f"{self.requests:032x}",
        }
        known = self.people[tenant]

        def call(gallery: StoredGallery):
            return gallery.enrol(tenant, subject, POOL[rows], **options)

        gallery = self.opened[which]
        if (tenant, bundle) in self.retired or (tenant, key) in self.retired:
            with pytest.raises(BundleMismatchError):
                call(gallery)
        elif subject not in known and not create:
            with pytest.raises(UnknownNameError):
                call(gallery)
        elif len(known.get(subject, {})) + len(rows) > MOST:
            with pytest.raises(LimitError):
                call(gallery)
        else:
            infos = call(gallery)
            templates = known.setdefault(subject, {})
            for info, row in zip(infos, rows, strict=True):
                templates[info.template_id] = (bundle, key, row)
            self.last = (call, tenant, {info.template_id for info in infos})

    @precondition(lambda self: self.last is not None)
    @rule(which=st.integers(0, 1))
    def repeat_the_last_enrolment(self, which) -> None:
        call, tenant, ids = self.last
        held = {i for templates in self.people[tenant].values() for i in templates}
        assert {info.template_id for info in call(self.opened[which])} == ids & held

    @rule(tenant=tenants, subject=subjects, which=st.integers(0, 1))
    def delete(self, tenant, subject, which) -> None:
        if subject not in self.people[tenant]:
            with pytest.raises(UnknownNameError):
                self.opened[which].delete_subject(tenant, subject)
            return
        templates = self.people[tenant].pop(subject)
        assert self.opened[which].delete_subject(tenant, subject) == len(templates)
        self.erased += templates

    @rule(tenant=tenants, data=st.data(), which=st.integers(0, 1))
    def erase(self, tenant, data, which) -> None:
        held = [(s, i) for s, templates in self.people[tenant].items() for i in templates]
        if held:
            # By place: template_ids are random, and a replay must draw the same.
            subject, template_id = held[data.draw(st.integers(0, len(held) - 1))]
            self.opened[which].erase_template(tenant, template_id)
            del self.people[tenant][subject][template_id]
            self.erased.append(template_id)
        for gone in self.erased[-2:]:
            with pytest.raises(UnknownNameError):
                self.opened[which].erase_template(tenant, gone)

    @rule(
        tenant=tenants,
        probes=vectors,
        bundle=bundles,
        key=keys,
        top_k=st.integers(1, 5),
        threshold=st.sampled_from([-1.0, 0.3]),
        which=st.integers(0, 1),
    )
    def search(self, tenant, probes, bundle, key, top_k, threshold, which) -> None:
        self.check_search(which, tenant, bundle, key, probes, top_k, threshold)

    @invariant()
    def both_openings_find_what_is_there(self) -> None:
        self.steps += 1
        for which in range(2):
            for tenant in TENANTS:
                for bundle in BUNDLES:
                    for key in KEYS:
                        probe = [self.steps % len(POOL)]
                        self.check_search(which, tenant, bundle, key, probe, 3, -1.0)

    def check_search(self, which, tenant, bundle, key, probes, top_k, threshold) -> None:
        options = {"bundle_id": bundle, "key_id": key, "top_k": top_k, "threshold": threshold}

        def call():
            return self.opened[which].search(tenant, POOL[probes], **options)

        if (tenant, bundle) in self.retired or (tenant, key) in self.retired:
            with pytest.raises(BundleMismatchError):
                call()
            return
        for probe, found in zip(probes, call(), strict=True):
            best = {}
            for subject, templates in self.people[tenant].items():
                rows = [row for b, k, row in templates.values() if (b, k) == (bundle, key)]
                if rows:
                    best[subject] = max(score(row, probe) for row in rows)
            # Rounded, since equal vectors must tie exactly and others differ by far more.
            wanted = sorted((-round(s, 5), name) for name, s in best.items() if s >= threshold)
            assert [(-round(c.score, 5), c.subject_id) for c in found] == [
                (pytest.approx(s, abs=2e-5), name) for s, name in wanted[:top_k]
            ]
            for candidate in found:
                b, k, row = self.people[tenant][candidate.subject_id][candidate.template_id]
                assert (b, k) == (bundle, key)
                assert score(row, probe) == pytest.approx(best[candidate.subject_id])

    @rule(
        tenant=tenants,
        subject=subjects,
        probes=vectors,
        bundle=bundles,
        key=keys,
        which=st.integers(0, 1),
    )
    def verify(self, tenant, subject, probes, bundle, key, which) -> None:
        def call():
            return self.opened[which].verify(
                tenant, subject, POOL[probes], bundle_id=bundle, key_id=key
            )

        templates = self.people[tenant].get(subject, {}).values()
        rows = [row for b, k, row in templates if (b, k) == (bundle, key)]
        if (tenant, bundle) in self.retired or (tenant, key) in self.retired:
            with pytest.raises(BundleMismatchError):
                call()
        elif not rows:
            with pytest.raises(UnknownNameError):
                call()
        else:
            wanted = [max(score(row, probe) for row in rows) for probe in probes]
            np.testing.assert_allclose(call(), wanted, atol=1e-6)

    @rule(tenant=tenants, kind=st.sampled_from(["bundle", "key"]), rarely=st.integers(0, 4))
    def retire(self, tenant, kind, rarely) -> None:
        if rarely:
            return
        name = BUNDLES[1] if kind == "bundle" else KEYS[1]
        place = 0 if kind == "bundle" else 1
        losers = set()
        for subject, templates in self.people[tenant].items():
            gone = {i for i, template in templates.items() if template[place] == name}
            if gone:
                losers.add(subject)
            for template_id in gone:
                del templates[template_id]
            self.erased += gone
        assert self.opened[0].retire(tenant, **{f"{kind}_id": name}) == sorted(losers)
        self.retired.add((tenant, name))

    @rule(which=st.integers(0, 1))
    def reopen(self, which) -> None:
        self.opened[which].close()
        self.opened[which] = self.open()

    @precondition(lambda self: self.options.get("vectors") != "clear")
    @rule(which=st.integers(0, 1))
    def rotate_the_data_key(self, which) -> None:
        gallery = self.opened[which]
        total = sum(len(t) for people in self.people.values() for t in people.values())
        assert seal_anew(gallery.database, gallery.vault) == total

    @invariant()
    def what_is_listed_is_what_is_there(self) -> None:
        for tenant in TENANTS:
            people = self.people[tenant]
            gallery = self.opened[0]
            assert gallery.subjects(tenant) == sorted(people)
            assert gallery.count(tenant) == (len(people), sum(map(len, people.values())))
            for subject, templates in people.items():
                assert [i.template_id for i in gallery.templates(tenant, subject)] == list(
                    templates
                )

    def teardown(self) -> None:
        for gallery in getattr(self, "opened", []):
            gallery.close()


def run(machine: type[Galleries], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples * int(os.environ.get("XNN_EXAMPLES", "1")),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


@pytest.mark.parametrize("kind", ["exact", "graph"])
def test_in_a_file(kind: str, tmp_path: Path, master_key: MasterKey) -> None:
    class InFile(Galleries):
        options = {"graph": GraphSettings(above=0, threads=1)} if kind == "graph" else {}

        def fresh_address(self) -> str:
            folder = tempfile.mkdtemp(dir=tmp_path)
            return str(Path(folder) / "gallery.db")

    InFile.master_key = master_key
    run(InFile, 4)


@pytest.mark.parametrize("kind", ["sealed", "clear"])
def test_in_postgres(kind: str, postgres, master_key: MasterKey) -> None:
    class InPostgres(Galleries):
        options = {"vectors": kind}  # noqa: RUF012

        def fresh_address(self) -> str:
            return postgres.fresh()

    InPostgres.master_key = master_key
    run(InPostgres, 1)
