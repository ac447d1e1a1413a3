"""What a network policy may say, and what it decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base import Invalid
from skerry.host.policy_rules import (
    RULES_MAX,
    NetworkPolicy,
    NetworkRule,
    decide,
    encode,
    parse,
    policy_index,
)


def policy(*rules: str) -> NetworkPolicy:
    """Return the policy of rules such as `allow *.example.org` and `include defaults`."""
    said: list[dict[str, str]] = []
    for rule in rules:
        action, name = rule.split()
        said.append(
            {"include": name} if action == "include" else {"action": action, "domain": name}
        )
    return parse({"rules": said})


@pytest.mark.parametrize(
    ("rules", "name", "allowed", "rule"),
    [
        ([], "example.org", True, None),
        (["allow example.org"], "example.org", True, 0),
        (["allow example.org"], "EXAMPLE.org.", True, 0),
        (["allow example.org"], "www.example.org", False, None),
        (["allow example.org"], "notexample.org", False, None),
        (["deny example.org"], "example.org", False, 0),
        (["deny example.org"], "example.com", True, None),
        (["allow *.example.org"], "a.b.example.org", True, 0),
        (["allow *.example.org"], "example.org", False, None),
        (["allow *.example.org"], "notexample.org", False, None),
        (["deny *", "allow example.org"], "example.org", True, 1),
        (["allow *", "deny *.org", "allow *.example.org"], "a.example.org", True, 2),
        (["allow *", "deny *.org", "allow *.example.org"], "example.org", False, 1),
        (["allow *.a.org", "deny x.a.org", "deny *"], "x.a.org", False, 1),
        (["deny a.org", "allow *"], "b.org", True, 1),
        (["include defaults"], "pypi.org", True, 0),
        (["include defaults"], "raw.githubusercontent.com", True, 0),
        (["include defaults"], "example.org", False, None),
        (["deny github.com", "include defaults"], "github.com", False, 0),
        (["include defaults", "allow *"], "dns.google", False, 0),
        (["include defaults", "allow dns.google"], "dns.google", True, 1),
        (["allow *.org"], "", False, None),
    ],
)
def test_the_most_exact_rule_counts(rules: list[str], name: str, rule: int, *, allowed: bool):
    decision = decide(policy(*rules), name)

    assert (decision.allowed, decision.rule) == (allowed, rule)


def test_a_decision_says_its_rule_in_words():
    rules = policy("include defaults", "deny *.example.org")

    assert decide(rules, "a.example.org").text == "deny *.example.org"
    assert decide(rules, "pypi.org").text == "include defaults: allow pypi.org"
    assert decide(rules, "a.example.com").text == "no rule names it"


def test_names_are_kept_as_they_are_compared():
    rules = policy("allow Bücher.Example.", "deny *.MÜNCHEN.de", "allow _a._tcp.example.org")

    assert [rule.domain for rule in rules.rules] == [
        "xn--bcher-kva.example",
        "*.xn--mnchen-3ya.de",
        "_a._tcp.example.org",
    ]


def test_a_document_comes_back_as_it_was():
    document = {"rules": [{"include": "defaults"}, {"domain": "*", "action": "deny"}]}

    assert encode(parse(document)) == document
    assert parse({"rules": [{"domain": "a.org", "action": "deny", "include": None}]}) == (
        NetworkPolicy((NetworkRule("a.org", "deny"),))
    )


@pytest.mark.parametrize(
    "domain",
    [
        "", ".", "..", "a..b", ".org", "-a.org", "a-.org", "exa mple.org", "a/b", "https://a.org",
        "a.org:443", "*.", "**", "*a.org", "a.*.org", "*.*.org", "a.org..", f"{'a' * 64}.org",
        ".".join(["a" * 63] * 4), "a" * 100_000, "é" * 64, "1.2.3.4", "10.0.0.0/8", "::1",
        "faß.de", "a\u200db.org", "a\n.org", "a\0.org", "\ud800.org",
    ],
)  # fmt: skip
def test_what_no_domain_can_be_called_is_refused_by_its_place(domain: str):
    rules = [{"domain": "a.org", "action": "allow"}, {"domain": domain, "action": "allow"}]

    with pytest.raises(Invalid, match=r"^rules\[1\] ") as caught:
        parse({"rules": rules})

    assert (caught.value.code, caught.value.details) == ("bad_policy", {"rule": 1})


@pytest.mark.parametrize(
    "rule",
    [
        None, [], "allow", {}, {"domain": "a.org"}, {"action": "allow"}, {"include": "everything"},
        {"include": ["defaults"]}, {"domain": 7, "action": "deny"}, {"domain": "*", "action": "Deny"},
        {"domain": "*", "action": ["deny"]}, {"domain": "*", "action": "deny", "include": "defaults"},
        {"domain": "*", "action": "deny", "port": 80},
    ],
)  # fmt: skip
def test_a_rule_of_another_shape_is_refused_by_its_place(rule: object):
    with pytest.raises(Invalid, match=r"^rules\[0\] "):
        parse({"rules": [rule]})


@pytest.mark.parametrize(
    "document", [None, [], "", {}, {"rules": None}, {"rules": "*"}, {"rules": [], "other": 1}]
)
def test_a_document_of_another_shape_is_refused(document: object):
    with pytest.raises(Invalid) as caught:
        parse(document)

    assert caught.value.code == "bad_policy"


def test_rules_that_contradict_each_other_are_refused_and_repeats_are_not():
    policy("allow a.org", "allow A.org")

    with pytest.raises(Invalid, match=r"^rules\[1\] says the opposite of rules\[0\]"):
        policy("allow a.org", "deny A.org.")


def test_a_policy_has_only_so_many_rules():
    rules = [{"domain": f"a{number}.org", "action": "deny"} for number in range(RULES_MAX + 1)]

    assert len(parse({"rules": rules[1:]}).rules) == RULES_MAX
    with pytest.raises(Invalid, match="at most 1000 rules"):
        parse({"rules": rules})


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)
DOMAINS = st.one_of(st.just("*"), NAMES, NAMES.map("*.".__add__))


@given(st.dictionaries(DOMAINS, st.sampled_from(["allow", "deny"]), min_size=1), NAMES)
def test_the_index_decides_as_a_look_at_every_rule_would(rules: dict[str, str], name: str):
    def covers(domain: str) -> bool:
        return domain in ("*", name) or (domain[:2] == "*." and name.endswith(domain[1:]))

    made = parse({"rules": [{"domain": d, "action": a} for d, a in rules.items()]})
    fitting = sorted(filter(covers, rules), key=lambda domain: (domain == name, len(domain)))

    expected = rules[fitting[-1]] == "allow" if fitting else "allow" not in rules.values()
    assert policy_index(made).decide(name).allowed is expected


@given(st.text(max_size=80))
def test_any_text_is_a_domain_or_refused(text: str):
    try:
        made = parse({"rules": [{"domain": text, "action": "allow"}]})
    except Invalid:
        return
    assert parse(encode(made)) == made
