"""Values come back equal and of the same type, or are refused with a reason."""

from __future__ import annotations

import enum
import json
import math
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_redisjobs.core import tags
from django_redisjobs.core.codec import Codec, kept, to_json
from django_redisjobs.core.exceptions import (
    PayloadMalformed,
    PayloadNotSerializable,
    PayloadTooLarge,
    PayloadUnknown,
)
from django_redisjobs.core.payload import (
    Body,
    check_size,
    decode_body,
    encode_body,
    parse_body,
)

BERLIN = ZoneInfo("Europe/Berlin")
codec = Codec()


class Colour(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796  an alias
    BLUE = "blue"


class Rank(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Outer:
    class Inner(enum.StrEnum):
        A = "a"


class Text(str):
    __slots__ = ()


class Anyones(type):
    """Whose instances all are that are of the class which theirs replaces."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__mro__[1])


class FrozenClock(datetime, metaclass=Anyones):
    """What a library that freezes time puts in place of datetime."""


class FrozenCalendar(date, metaclass=Anyones):
    """What it puts in place of date."""


class Precise(datetime):
    """A datetime that holds more than ISO text of a datetime shows."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = datetime.__hash__


Point = namedtuple("Point", "x y")  # noqa: PYI024

hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.timedeltas(),
    st.sampled_from([*Colour, *Rank, *Access, Access.READ | Access.WRITE]),
)
hashable = hashable | st.tuples(hashable) | st.frozensets(hashable, max_size=3)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.sets(hashable, max_size=4),
        st.dictionaries(hashable | st.just("$"), inner, max_size=4),
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if type(left) in (list, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if type(left) is dict:
        return same(list(left.items()), list(right.items()))
    if type(left) in (set, frozenset):
        return {(type(item), item) for item in left} == {
            (type(item), item) for item in right
        }
    return bool(left == right)


@given(values)
def test_every_carried_value_comes_back_equal_and_of_its_type(value: object) -> None:
    text = codec.dumps(value)

    assert same(codec.loads(text), value)
    assert "\n" not in text
    text.encode()


@given(st.lists(values, max_size=3), st.dictionaries(st.text(), values, max_size=3))
def test_a_body_comes_back_as_it_was(args: list[Any], kwargs: dict[str, Any]) -> None:
    kwargs = {key: kwargs[key] for key in kwargs if key.isascii()}
    text = encode_body("shop.jobs.f", args, kwargs, {"language": "de"}, codec)

    body = decode_body(text, codec)

    assert body.function == "shop.jobs.f"
    assert same(body.args, args)
    assert same(body.kwargs, kwargs)
    assert body.options == {"language": "de"}


def test_a_body_of_plain_values_is_compact_json() -> None:
    text = encode_body("shop.jobs.f", (1, "é"), {"b": None}, {}, codec)

    assert text == '["shop.jobs.f",[1,"é"],{"b":null}]'


# How texts of jobs are written, without the short cut.
WRITER = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
)
PLAIN_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(PLAIN_JSON)
def test_the_short_cut_to_json_writes_what_json_writes(value: object) -> None:
    assert to_json(value) == WRITER.encode(value)


def test_without_what_json_does_not_document_its_own_way_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", lambda only: None)
    assert kept(WRITER) == WRITER.encode

    monkeypatch.delattr(json.encoder, "c_make_encoder")
    assert kept(WRITER) == WRITER.encode


@pytest.mark.parametrize(
    "value",
    [math.inf, -math.inf, 10**5000, -(10**700)],
    ids=["inf", "-inf", "5001 digits", "701 digits"],
)
def test_numbers_that_json_lacks_come_back(value: float) -> None:
    assert codec.loads(codec.dumps([value])) == [value]
    assert decode_body(encode_body("f", [value], {}, {}, codec), codec).args == [value]


def test_not_a_number_comes_back() -> None:
    assert math.isnan(codec.loads(codec.dumps(math.nan)))
    assert codec.loads(codec.dumps(Decimal("NaN"))).is_nan()


def test_text_with_half_a_surrogate_pair_travels_as_valid_utf8() -> None:
    text = encode_body("f", ["\ud800"], {"a": {"\udfff": 1}}, {}, codec)

    body = decode_body(text, codec)

    assert text.isascii()
    assert (body.args, body.kwargs) == (["\ud800"], {"a": {"\udfff": 1}})


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=0),
        datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
        datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, seconds=7))),
        time(12, 30, tzinfo=timezone(timedelta(hours=-3))),
        time(12, 30, tzinfo=ZoneInfo("UTC")),
    ],
)
def test_times_keep_their_zone(value: Any) -> None:
    back = codec.loads(codec.dumps(value))

    assert back == value
    assert back.isoformat() == value.isoformat()
    assert back.tzinfo == value.tzinfo


def test_a_frozen_clocks_datetime_comes_back_as_a_plain_one() -> None:
    back = codec.loads(codec.dumps(FrozenClock(2026, 1, 2, 3, 4)))

    assert type(back) is datetime
    assert back == datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("frozen", "plain"),
    [
        (FrozenClock(2026, 1, 2, 3, 4, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        (
            FrozenClock(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
            datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
        ),
        (FrozenCalendar(2026, 1, 2), date(2026, 1, 2)),
    ],
)  # fmt: skip
def test_dates_travel_while_the_clock_is_frozen(
    frozen: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are replaced in all modules, those of this package among them."""
    monkeypatch.setattr(tags, "datetime", FrozenClock)
    monkeypatch.setattr(tags, "date", FrozenCalendar)

    for value in (frozen, plain):
        back = codec.loads(codec.dumps(value))
        assert type(back) is type(plain)
        assert (back, back.isoformat()) == (plain, plain.isoformat())


@pytest.mark.parametrize("value", [{"$": "dict", "v": []}, {"$": 1}, {"$": {"$": 2}}])
def test_a_users_dict_that_looks_like_a_tag_comes_back(value: Any) -> None:
    assert codec.loads(codec.dumps(value)) == value
    assert decode_body(encode_body("f", [value], {}, {}, codec), codec).args == [value]


def test_a_nested_enum_is_found_by_its_qualified_name() -> None:
    assert codec.loads(codec.dumps(Outer.Inner.A)) is Outer.Inner.A
    assert codec.loads(codec.dumps(Colour.CRIMSON)) is Colour.RED


def test_reading_an_enum_imports_nothing() -> None:
    stored = '{"$":"Enum","v":["this:Poem","LINE"]}'
    sys.modules.pop("this", None)

    with pytest.raises(PayloadMalformed, match="import it in the module"):
        codec.loads(stored)

    assert "this" not in sys.modules


def test_reading_an_enum_asks_no_module_that_loads_what_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    lazy = ModuleType("lazy_colours")
    vars(lazy)["__getattr__"] = asked.append
    monkeypatch.setitem(sys.modules, "lazy_colours", lazy)

    with pytest.raises(PayloadMalformed, match="is no Enum"):
        codec.loads('{"$":"Enum","v":["lazy_colours:Colour","RED"]}')

    assert not asked


def test_reading_an_enum_calls_no_other_class() -> None:
    with pytest.raises(PayloadMalformed, match="is no Enum"):
        codec.loads('{"$":"Enum","v":["subprocess:Popen","ls"]}')


@pytest.mark.parametrize(
    "stored",
    [
        [f"{__name__}:Sound", "LOUD"],
        [f"{__name__}:Outer.Gone", "A"],
        ["nowhere.colours:Colour", "RED"],
        [f"{__name__}:Colour", "GREEN"],
        [f"{__name__}:Access", 64],
    ],
)
def test_an_enum_of_another_build_is_unknown(stored: object) -> None:
    with pytest.raises(PayloadUnknown, match=r"is no Enum|has no member .* this build"):
        codec.loads(json.dumps({"$": "Enum", "v": stored}))


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "RED",
        1,
        None,
        [],
        [f"{__name__}:Colour"],
        [1, 2],
        [f"{__name__}:Colour", []],
    ],
)
def test_what_is_no_member_of_any_enum_is_malformed(stored: object) -> None:
    with pytest.raises(PayloadMalformed) as caught:
        codec.loads(json.dumps({"$": "Enum", "v": stored}))

    assert not isinstance(caught.value, PayloadUnknown)


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (object(), "object"),
        (Text("x"), "tests.unit.core.test_payload.Text"),
        (OrderedDict(a=1), "collections.OrderedDict"),
        (Point(1, 2), "tests.unit.core.test_payload.Point"),
        (bytearray(b"x"), "bytearray"),
        (range(3), "range"),
        (1j, "complex"),
        (Precise(2026, 1, 1), "tests.unit.core.test_payload.Precise"),
        (print, "builtin_function_or_method"),
    ],
)
def test_other_types_are_refused_by_name(value: object, type_name: str) -> None:
    with pytest.raises(PayloadNotSerializable, match="which a job cannot carry") as hit:
        codec.dumps(value)

    assert f"object of type {type_name}," in str(hit.value)


def test_an_enum_that_no_worker_could_find_is_refused() -> None:
    local = enum.Enum("local", "A")
    local.__qualname__ = "test.<locals>.local"

    with pytest.raises(PayloadNotSerializable, match="cannot find by that name"):
        codec.dumps(local.A)  # type: ignore[attr-defined]


def test_a_time_in_a_zone_without_fixed_offset_is_kept_by_name() -> None:
    back = codec.loads(codec.dumps(time(9, tzinfo=BERLIN)))

    assert (back, back.tzinfo) == (time(9, tzinfo=BERLIN), BERLIN)


def test_the_error_names_the_argument_and_the_way_to_the_value() -> None:
    with pytest.raises(PayloadNotSerializable) as by_position:
        encode_body("shop.jobs.f", [1, [0, {"a": 1j}]], {}, {}, codec, ["user", "rows"])
    with pytest.raises(PayloadNotSerializable) as by_keyword:
        encode_body("shop.jobs.f", [], {"rows": 1j}, {}, codec)
    with pytest.raises(PayloadNotSerializable) as of_a_result:
        codec.dumps([1j], "The result")

    start = "shop.jobs.f was not enqueued: argument 'rows'"
    assert f"{start} item 1 key 'a': object of type complex" in str(by_position.value)
    assert f"{start}: object of type complex" in str(by_keyword.value)
    assert "The result item 0: object of type complex" in str(of_a_result.value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})

    with pytest.raises(PayloadNotSerializable, match="contains itself") as hit:
        encode_body("f", [loop], {}, {}, codec, ["rows"])

    assert "argument 'rows': a value that" in str(hit.value)


def test_a_value_nested_too_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]

    with pytest.raises(PayloadNotSerializable, match="deeper than 100 levels"):
        codec.dumps(deep)


@pytest.mark.parametrize("around", [lambda value: [value], lambda value: {"a": value}])
def test_whatever_is_in_it_a_value_has_a_hundred_levels(
    around: Callable[[Any], Any],
) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = around(deep)

    assert codec.loads(codec.dumps(deep)) == deep
    with pytest.raises(PayloadNotSerializable, match="deeper than 100 levels"):
        codec.dumps(around(deep))


def test_a_shared_value_is_no_loop() -> None:
    row = [1]

    assert codec.loads(codec.dumps([row] * 200)) == [row] * 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nonsense",
        "[" * 100_000,
        '{"$":"tuple"}',
        '{"$":"planet","v":1}',
        '{"$":["x"],"v":1}',
        '{"$":"datetime","v":"soon"}',
        '{"$":"datetime","v":["2026-01-01T00:00:00+00:00","Nowhere/City"]}',
        '{"$":"set","v":[[]]}',
        '{"$":"dict","v":[1]}',
        '{"$":"Decimal","v":"x"}',
        '{"$":"bytes","v":1}',
        '{"$":"UUID","v":5}',
        '{"$":"Enum","v":"x"}',
        '{"$":"Enum","v":["enum:Enum","x"]}',
    ],
)
def test_what_cannot_be_read_is_a_clear_error(text: str) -> None:
    with pytest.raises(PayloadMalformed):
        codec.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "7",
        "[]",
        '["f",[]]',
        '["f",{},{}]',
        '["f",[],[]]',
        "[1,[],{}]",
        '["f",[],{},3]',
        '["f",[],{},{},1]',
        "\x00\x01",
    ],
)
def test_a_body_of_another_shape_is_a_clear_error(text: str) -> None:
    with pytest.raises(PayloadMalformed):
        parse_body(text)


def test_a_body_is_parsed_without_reading_its_arguments() -> None:
    body = parse_body('["f",[{"$":"planet","v":1}],{},{"language":"de"}]')

    assert (body.function, body.options) == ("f", {"language": "de"})
    with pytest.raises(PayloadMalformed, match="planet"):
        body.decoded(codec)


def test_an_extension_carries_a_type_of_the_application() -> None:
    extended = Codec()
    extended.register(
        "complex",
        lambda value: type(value) is complex,
        lambda value: [value.real, value.imag],
        lambda stored: complex(*stored),
        called="complex numbers",
    )

    assert extended.loads(extended.dumps({1j})) == {1j}
    with pytest.raises(PayloadNotSerializable, match="complex numbers"):
        extended.dumps(object())
    with pytest.raises(ValueError, match="taken"):
        extended.register("set", bool, str, str)


def test_an_extension_may_refuse_with_advice() -> None:
    extended = Codec()

    def refuse(value: object) -> object:
        raise ValueError("save it first")

    extended.register("row", lambda value: isinstance(value, Body), refuse, str)

    with pytest.raises(PayloadNotSerializable, match="Body: save it first"):
        extended.dumps([Body("f", [], {}, {})])


def test_advice_for_a_type_is_given() -> None:
    extended = Codec()
    extended.refuse(lambda value: isinstance(value, range), "Pass list(value).")

    with pytest.raises(PayloadNotSerializable, match=r"Pass list\(value\)\."):
        extended.dumps(range(3))


def test_the_size_limit_counts_bytes_and_says_both_figures() -> None:
    check_size("é" * 500, 1000, "f")

    with pytest.raises(PayloadTooLarge, match=r"f: 1,002 bytes .* allows 1,000"):
        check_size("é" * 501, 1000, "f")


def test_options_are_left_out_when_there_are_none() -> None:
    assert json.loads(encode_body("f", (), {}, {}, codec)) == ["f", [], {}]
