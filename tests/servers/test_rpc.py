"""JSON-RPC 2.0 as its specification has it, and the sizes of the 2333 experiment."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.servers import Limits, RpcServer, query_call
from testbed.servers.conversation import Command, Hangup, Pause, Send
from testbed.servers.framing import FrameDecoder, encode_frame
from testbed.servers.rpc import RpcConversation, call

from .peer import connected, eventually


def say(body: bytes, limits: Limits | None = None) -> list[Command]:
    return list(RpcConversation(limits or Limits()).feed(encode_frame(body)))


def answer(body: bytes | str, limits: Limits | None = None) -> Any:
    """The reply's JSON, or None where nothing is sent."""
    raw = body.encode() if isinstance(body, str) else body
    sent = b"".join(command.data for command in say(raw, limits) if isinstance(command, Send))
    bodies = list(FrameDecoder(1 << 30).feed(sent))
    assert len(bodies) <= 1
    return json.loads(bodies[0]) if bodies else None


def error_code(body: bytes | str) -> tuple[int, Any]:
    reply = answer(body)
    assert reply["jsonrpc"] == "2.0" and "result" not in reply
    return reply["error"]["code"], reply["id"]


def test_the_experiments_sizes_are_104_and_254_bytes() -> None:
    request = query_call()
    assert len(request) == 104
    (reply,) = RpcConversation(Limits()).feed(request)
    assert isinstance(reply, Send) and len(reply.data) == 254
    assert json.loads(reply.data[4:])["result"]["message"] == "query result: ChiuSinYing 75 success"


async def test_the_experiment_over_a_socket() -> None:
    async with RpcServer() as server, connected(server) as client:
        await client.send(query_call())
        assert len(await client.receive(254)) == 254
        client.finish()
        assert await client.told() == b""
        await eventually(lambda: not server.connections)


def test_the_specifications_examples() -> None:
    assert error_code('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]') == (-32700, None)
    assert error_code('{"jsonrpc": "2.0", "method": 1, "params": "bar"}') == (-32600, None)
    assert error_code('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}') == (-32601, "1")
    assert error_code("[]") == (-32600, None)
    assert [reply["error"]["code"] for reply in answer("[1,2,3]")] == [-32600] * 3
    assert error_code('[{"jsonrpc": "2.0", "method": "sum", "id": "1"},{"jsonrpc": "2.0", "method"') == (
        -32700,
        None,
    )


def test_a_batch_answers_all_but_notifications() -> None:
    batch = [
        {"jsonrpc": "2.0", "method": "echo", "params": ["a"], "id": 1},
        {"jsonrpc": "2.0", "method": "echo", "params": ["b"]},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "nothing", "id": "x"},
    ]
    replies = answer(json.dumps(batch))
    assert replies[0] == {"jsonrpc": "2.0", "id": 1, "result": "a"}
    assert [(reply["error"]["code"], reply["id"]) for reply in replies[1:]] == [(-32600, None), (-32601, "x")]


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc":"2.0","method":"echo","params":["a"]}',
        '{"jsonrpc":"2.0","method":"nothing"}',
        '{"jsonrpc":"2.0","method":"echo","params":[1,2,3]}',
        '[{"jsonrpc":"2.0","method":"echo","params":["a"]}]',
    ],
)
def test_notifications_draw_nothing(body: str) -> None:
    assert say(body.encode()) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"jsonrpc":"2.0","method":"echo","params":[NaN],"id":1}',
        b'{"jsonrpc":"2.0","method":"echo","params":[1e999],"id":1}',
        b"9" * 10_000,
        '{"jsonrpc":"2.0"}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_is_a_parse_error(body: bytes) -> None:
    assert error_code(body) == (-32700, None)


@pytest.mark.parametrize(
    "request_object",
    [
        '"text"',
        "null",
        "true",
        "{}",
        '{"jsonrpc":"1.0","method":"echo","id":1}',
        '{"jsonrpc":"2.0","method":"echo","params":"a","id":1}',
        '{"jsonrpc":"2.0","method":"echo","params":null,"id":1}',
        '{"jsonrpc":"2.0","method":"echo","params":["a"],"id":true}',
        '{"jsonrpc":"2.0","method":"echo","params":["a"],"id":[1]}',
        '{"jsonrpc":"2.0","method":["echo"],"id":1}',
    ],
)
def test_what_is_no_request_is_an_invalid_request(request_object: str) -> None:
    assert error_code(request_object) == (-32600, None)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("query", []),
        ("query", {"name": 1}),
        ("query", {"name": "x", "colour": "red"}),
        ("query", ["x", "TCP", True]),
        ("echo", [1, 2]),
        ("sleep", [-1]),
        ("sleep", [1e9]),
        ("sleep", ["1"]),
        ("blob", [-1]),
        ("blob", [1 << 40]),
        ("blob", [1.5]),
    ],
)
def test_params_that_do_not_fit(method: str, params: Any) -> None:
    assert error_code(call(method, params)[4:]) == (-32602, 1)


def test_sleep_waits_and_then_answers() -> None:
    commands = say(call("sleep", [0.25])[4:])
    assert commands[0] == Pause(0.25)
    assert isinstance(commands[1], Send)


def test_an_unknown_name_is_a_result_and_not_an_error() -> None:
    assert answer(call("query", ["nobody"])[4:])["result"]["row_count"] == 0


def test_no_request_buys_a_reply_without_bounds() -> None:
    limits = Limits(frame=10_000)
    assert answer(call("blob", [10_000])[4:], limits)["error"]["code"] == -32001
    batch = [{"jsonrpc": "2.0", "method": "blob", "params": [4000], "id": n} for n in range(100)]
    replies = answer(json.dumps(batch), limits)
    assert [("result" in reply) for reply in replies[:3]] == [True, True, False]
    assert len(json.dumps(replies)) < 2 * 10_000 + 100 * 100


def test_an_oversized_frame_is_told_so_and_hung_up_on() -> None:
    conversation = RpcConversation(Limits(frame=100))
    commands = list(conversation.feed(query_call() + b"\xff\xff\xff\xff"))
    assert [type(command) for command in commands] == [Send, Send, Hangup]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_echo_gives_back_what_it_was_given(value: Any) -> None:
    assert answer(call("echo", [value])[4:]) == {"jsonrpc": "2.0", "id": 1, "result": value}


@given(st.binary(max_size=200))
def test_no_bytes_break_it(noise: bytes) -> None:
    for command in RpcConversation(Limits()).feed(encode_frame(noise)):
        assert isinstance(command, Send)


def test_a_fault_in_a_handler_is_not_hidden_from_the_connection() -> None:
    with pytest.raises(RuntimeError, match="as asked"):
        say(call("fail")[4:])
