"""Attempts to lie about the result, to break the protocol, and to leave something behind for the next call."""

import builtins
import gc
import json
import os
import pickle
import sys

OUT = "OUT"
FORGED = b'{"value": "OUT: forged"}'


def _descriptors():
    found = []
    for descriptor in range(1024):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return found


def two_answers(target):
    os.write(3, FORGED)
    return "honest"


def half_an_answer(target):
    os.write(3, b'{"value": "OUT')
    os._exit(0)


def answer_that_claims_isolation(target):
    os.write(3, b'{"value": 1, "isolation": "OUT", "limits_hit": [], "wall_s": 0}')
    os._exit(0)


def answer_that_is_no_json(target):
    os.write(3, b"\xff\xfe OUT")
    os._exit(0)


def answer_that_is_nested(target):
    os.write(3, b'{"value": ' + b"[" * 100_000)
    os._exit(0)


def answer_with_a_number_of_a_million_digits(target):
    os.write(3, b'{"value": ' + b"9" * 60_000 + b"}")
    os._exit(0)


def answer_without_end(target):
    while True:
        os.write(3, b"[" * 65536)


def answer_with_wrong_types(target):
    os.write(3, b'{"error": {"type": ["OUT"], "message": {}, "line": "x"}}')
    os._exit(0)


def writes_to_every_descriptor(target):
    for descriptor in _descriptors():
        try:
            os.write(descriptor, FORGED * 2)
        except OSError:
            continue
    return "honest"


def closes_every_descriptor(target):
    os.closerange(0, 1024)
    return "honest"


def holds_no_other_descriptor(target):
    extra = [descriptor for descriptor in _descriptors() if descriptor > 3]
    return f"{OUT}: {extra}" if extra else "none"


def swaps_output_and_result(target):
    os.dup2(1, 3)
    print("honest")
    return "lost"


def pickled_result(target):
    class Door:
        def __reduce__(self):
            return os.system, (f"echo out > {target['open_folder']}/{target['marker']}",)

    os.write(3, pickle.dumps(Door()))
    return Door()


def bytes_result(target):
    return pickle.dumps({"x": 1})


def result_with_a_lying_class(target):
    class Text(str):
        __class__ = dict

        def __str__(self):
            return "OUT"

    return {"a": Text("honest")}


def patched_json(target):
    json.dumps = lambda *_, **__: 1 / 0
    return "honest"


def patched_builtins(target):
    for name in ("isinstance", "len", "dict", "str", "int", "open", "print", "compile", "exec"):
        setattr(builtins, name, None)
    return "honest"


def leaves_exit(target):
    sys.exit("OUT of here")


def leaves_hard(target):
    os._exit(0)


def leaves_by_a_crash(target):
    import ctypes

    ctypes.string_at(0)


def leaves_by_abort(target):
    os.abort()


def raises_what_is_no_exception(target):
    class Strange(BaseException):
        pass

    raise Strange("stopped")


def raises_ctrl_c(target):
    raise KeyboardInterrupt


def raises_an_error_without_words(target):
    class Silent(Exception):
        def __str__(self):
            raise SystemExit(7)

    raise Silent


def reads_standard_input(target):
    return f"{OUT}: {input()}"


def reads_all_input(target):
    data = os.read(0, 4096) + sys.stdin.buffer.read()
    return f"{OUT}: {data!r}" if data else "empty"


def reads_the_terminal(target):
    return f"{OUT}: {open('/dev/tty').read()}"


def reads_the_environment(target):
    import ctypes

    names = dict(os.environ)
    c = ctypes.CDLL(None)
    c.getenv.restype = ctypes.c_char_p
    names |= {name: c.getenv(name) for name in (b"PATH", b"HOME", b"SECRET", b"USER") if c.getenv(name)}
    return f"{OUT}: {names}" if names else "empty"


def looks_through_all_objects(target):
    """The server is a fresh program: nothing of the caller's is in its memory."""
    texts = [thing for thing in gc.get_objects() if isinstance(thing, dict | list | tuple | str)]
    return repr([text for text in map(repr, texts[:20_000]) if target["first_half"] + target["second_half"] in text])


def walks_the_stack(target):
    frame, seen = sys._getframe(), []
    while frame is not None:
        seen += [repr(value) for value in frame.f_locals.values() if "socket" in type(value).__name__]
        frame = frame.f_back
    alive = [text for text in seen if "fd=-1" not in text]
    return f"{OUT}: {alive}" if alive else "none"


def finds_popen_among_subclasses(target):
    import subprocess

    classes = [kind for kind in ().__class__.__base__.__subclasses__() if kind.__name__ in ("Popen", "_wrap_close")]
    assert subprocess.Popen in classes
    return OUT + str(subprocess.Popen("echo out", shell=True, stdout=subprocess.PIPE).communicate())


def finds_os_by_globals(target):
    for kind in object.__subclasses__():
        scope = getattr(getattr(kind, "__init__", None), "__globals__", {})
        if "system" in scope:
            status = scope["system"](f"echo out > {target['open_folder']}/{target['marker']}")
            return OUT if status == 0 else "refused"
    return "not found"


def poisons_the_next_call(target):
    builtins.abs = lambda _: "OUT"
    sys.modules["math"] = None
    sys.modules["__tool__"].left = "OUT"
    os.environ["LEFT"] = "OUT"
    sys.path.insert(0, "/tmp")
    return "poisoned"
