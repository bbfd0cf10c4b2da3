"""A mail that is filled in is the mail that Jinja renders, byte for byte."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_project.adapters.compiled import CompiledTemplate
from dagster_project.adapters.expressions import HTML, TEXT, Expression, call_to_actions, check_expressions
from dagster_project.adapters.filling import filling
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.template import Context, FactSpec, Rendered, TemplateSpec
from tests.shipped import CAMPAIGNS, shipped_templates

ROOT = Path(__file__).parents[2]
SPEC = TemplateSpec.model_validate(
    {
        "tone": "plain",
        "why": 'Because you\'re "here" & nowhere else.',
        "facts": {
            "class": {"type": "text"},
            "plan": {"type": "text"},
            "seats": {"type": "number"},
            "used": {"type": "number"},
        },
        "slots": {"intro": {"description": "d", "max_chars": 60}},
        "ctas": {"main": {"label": "Go & see", "url": "https://x.example/?a=1&b=2"}},
    }
)
NAMES = {*SPEC.facts, "cta", "slots", "why"}
FIXED = {"why": SPEC.why, "cta": call_to_actions(SPEC)}
LINE = st.text(max_size=30) | st.text(alphabet="<>&\"'{}%# ab\n\t", max_size=30)
NUMBER = st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False, width=32)


@cache
def every_template() -> dict[str, CompiledTemplate]:
    """All that ship, each letter among them."""
    found = {}
    for template in shipped_templates().templates.values():
        found[template.name] = template
        found |= {f"{letter.name} {cta}": letter for cta, letter in template.letters.items()}
    return found


def templates_of(campaign: str) -> dict[str, CompiledTemplate]:
    """A campaign's variants with their letters; never none."""
    found = {name: each for name, each in every_template().items() if name.split("/")[-2] == campaign}
    assert found
    return found


def plainly(expression: Expression) -> Expression:
    """The same template without what fills it in."""
    plain = object.__new__(Expression)
    plain.__dict__ |= expression.__dict__ | {"_fill": None}
    return plain


@cache
def in_jinja(name: str) -> CompiledTemplate:
    template = every_template()[name]
    plain = object.__new__(CompiledTemplate)
    parts = {part: plainly(getattr(template, part)) for part in ("_header", "_html", "_text")}
    plain.__dict__ |= template.__dict__ | parts
    return plain


def told(template: CompiledTemplate, *given: object) -> Rendered | str:
    """The mail, or the line that says why there is none."""
    try:
        return template.render(*given)  # pyright: ignore[reportArgumentType]
    except InputError as error:
        return str(error)


def a_value(spec: FactSpec) -> st.SearchStrategy[object]:
    """What a trigger may hand over, null and nonsense included."""
    fitting = {
        "text": LINE,
        "number": NUMBER | st.integers(-2, 3),
        "percent": st.floats(0, 1),
        "date": st.dates().map(str),
    }[spec.type]
    return st.one_of(fitting, fitting, fitting, st.none(), st.sampled_from([True, "soon", 7]))


@st.composite
def a_mail(draw: st.DrawFn, template: CompiledTemplate) -> tuple[dict[str, object], dict[str, str] | None, Context]:
    facts = {name: draw(a_value(spec)) for name, spec in template.spec.facts.items()}
    slots = draw(st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(template.spec.slots, LINE)))
    url = draw(st.none() | st.just("https://mail.ledgerline.example/u/a?b=1&c='2'"))
    return facts, slots, Context(draw(LINE), draw(LINE), draw(LINE), url)


@pytest.mark.slow
@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_every_shipped_mail_is_filled_in_as_jinja_renders_it(campaign: str) -> None:
    """Subject, preheader, HTML and text for any facts, slots, letterhead and link; where there is no mail, the same line."""
    for name in templates_of(campaign):
        agrees_with_jinja(name)


def agrees_with_jinja(name: str) -> None:
    template = every_template()[name]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(mail=a_mail(template))
    def agrees(mail: tuple[dict[str, object], dict[str, str] | None, Context]) -> None:
        assert told(template, *mail) == told(in_jinja(name), *mail)

    agrees()


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_no_part_of_a_shipped_mail_is_left_to_jinja(campaign: str) -> None:
    """A construct that isn't translated costs its template three times as long: then either it or this test is to be changed."""
    left = [
        f"{name} {part}"
        for name, template in templates_of(campaign).items()
        for part in ("_header", "_html", "_text")
        if getattr(template, part)._fill is None
    ]

    assert left == []


def an_operand() -> st.SearchStrategy[str]:
    return st.sampled_from(
        ["class", "plan", "seats", "used", 'slots["intro"]', "cta.main.label", "why", '"two <b>"', "'O\\'B'", "1200", "2.50", "0", '""']
    )  # fmt: skip


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    compared = st.sampled_from(["==", "!=", ">", ">=", "<", "<=", "in", "not in"])
    return st.one_of(
        two.map(lambda both: f"({both[0]} or {both[1]})"),
        two.map(lambda both: f"({both[0]} and {both[1]})"),
        two.map(lambda both: f"({both[0]} ~ {both[1]})"),
        two.map(lambda both: f"({both[0]} + {both[1]})"),
        two.map(lambda both: f"({both[0]} - {both[1]})"),
        st.tuples(inner, compared, inner).map(lambda three: f"({' '.join(three)})"),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} if {three[1]} else {three[2]})"),
        two.map(lambda both: f"({both[0]} if {both[1]})"),
        inner.map(lambda one: f"(not {one})"),
        inner.map(lambda one: f"({one}|upfirst)"),
        inner.map(lambda one: f"({one}|short(12))"),
        inner.map(lambda one: f'({one}|plural("day"))'),
        inner.map(lambda one: f'({one}|plural("person", many="people"))'),
        inner.map(lambda one: f"({one} is none)"),
        inner.map(lambda one: f"({one} is not none)"),
        inner.map(lambda one: f"({one} is odd)"),
        inner.map(lambda one: f"({one} is defined)"),
    )


EXPRESSION = st.recursive(an_operand(), grown, max_leaves=6)


def a_block(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    three = st.tuples(EXPRESSION, inner, inner)
    return st.one_of(
        three.map(lambda of: f"{{% if {of[0]} %}}{of[1]}{{% endif %}}"),
        three.map(lambda of: f"{{% if {of[0]} %}}{of[1]}{{% else %}}{of[2]}{{% endif %}}"),
        st.tuples(three, EXPRESSION).map(
            lambda of: f"{{% if {of[0][0]} %}}{of[0][1]}{{% elif {of[1]} %}}{of[0][2]}{{% else %}}!{{% endif %}}"
        ),
        st.lists(inner, min_size=2, max_size=4).map("".join),
    )


SOURCE = st.recursive(
    EXPRESSION.map("{{{{ {} }}}}".format) | st.sampled_from(["words\n", "<p title='x'>\\ \"&amp;\"", "", "'''\"\"\""]),
    a_block,
    max_leaves=6,
)
VALUES = st.fixed_dictionaries(
    {
        "class": st.none() | LINE,
        "plan": st.none() | st.sampled_from(["team", "two <b>", ""]),
        "seats": st.none() | st.integers(-1, 3) | NUMBER,
        "used": st.none() | st.integers(-1, 3),
        "slots": st.fixed_dictionaries({"intro": st.none() | LINE}),
    }
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(source=SOURCE, values=VALUES, is_html=st.booleans())
def test_every_template_that_can_be_written_is_filled_in_as_jinja_renders_it(
    source: str, values: dict[str, object], is_html: bool
) -> None:
    """Nested conditions, defaults, comparisons, joins, filters and tests; where Jinja fails, this fails with the same words."""
    check_expressions(source, "f", SPEC, NAMES)
    expression = Expression(source, "f", is_html=is_html, fixed=FIXED)

    def words(one: Expression) -> str:
        try:
            return one.render(values | FIXED)
        except InputError as error:
            return f"InputError: {error}"
        except Exception as error:  # noqa: BLE001  what neither of them names goes through as it is
            return type(error).__name__

    assert words(expression) == words(plainly(expression))


@pytest.mark.parametrize(
    "source",
    ["{{ 1200 }}", '{{ "a" ~ 1 }}', "{{ (plan if seats) }}", "{{ plan is defined }}x{{ seats is none }}"],
)
def test_what_jinja_makes_while_it_compiles_stays_its_own(source: str) -> None:
    """It escapes a constant before it finalizes it: 1200 is 1200 in HTML, and not 1,200."""
    for is_html in (True, False):
        expression = Expression(source, "f", is_html=is_html)
        assert expression.render({"plan": "x", "seats": 1}) == expression.render_plainly({"plan": "x", "seats": 1})


def test_a_fact_may_be_called_like_a_word_of_python() -> None:
    """Its name is never a name of the code."""
    fill = filling("{{ class }}{{ join }}{{ write }}{{ values }}{{ fill }}", TEXT, {})

    assert fill is not None
    assert fill(dict(zip(("class", "join", "write", "values", "fill"), "abcde", strict=True))) == "abcde"


def test_nothing_of_python_is_in_reach_of_a_filled_template() -> None:
    """No builtin, no module: only the values, the filters and what joins."""
    fill = filling('{{ plan|upfirst ~ "!" }}', HTML, {})

    assert fill is not None
    known = fill.__globals__  # pyright: ignore[reportFunctionMemberAccess]
    assert known["__builtins__"] == {}
    assert set(known) == {"__builtins__", "write", "join", "concat", "filter_upfirst", "fill"}


def test_a_failure_knows_its_line() -> None:
    """The filled template doesn't; so Jinja is asked once more."""
    expression = Expression("one\n{{ plan }}\n", "f", is_html=False)

    assert expression._fill is not None
    with pytest.raises(InputError, match=r"^f:2: a null fact would be printed"):
        expression.render({"plan": None})
