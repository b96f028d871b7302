"""Imports the modules that are its arguments, then forks itself for each line of JSON on standard input, and runs there
what `python` would run with these arguments. Says the number of the process, and when it has ended its exit code.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import sys
import traceback
import types


def next_script(requests, answers):
    """RETURNS (dict): In a fork, what it is to run."""
    for line in requests:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return request
        print(pid, file=answers, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    raise SystemExit


def become(request):
    """Take the place of a process that is started by a command."""
    for number, path in enumerate(("/dev/null", *request["files"])):
        file = os.open(path, os.O_RDWR | (os.O_CREAT if number else 0), 0o600)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    first, *rest = request["arguments"]
    if first == "-m":
        sys.argv, sys.path[0] = rest, os.getcwd()
        return runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    if first == "-c":
        code, *sys.argv[1:] = rest
        sys.argv[0], sys.path[0] = "-c", ""
    else:
        sys.argv, sys.path[0], main.__file__ = [first, *rest], os.path.dirname(os.path.abspath(first)), first
        with open(first, encoding="utf8") as file:
            code = file.read()
    exec(compile(code, first, "exec"), main.__dict__)


def exit_code(script):
    """RETURNS (int): What the interpreter would end with."""
    try:
        script()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    # Scripts have descriptors of their own under the numbers 0 to 2.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    if "spacy" in sys.argv[1:]:
        sys.modules["spacy"].blank("xx")  # imports what is registered
    gc.freeze()  # forks do not go through all that was imported
    request = next_script(requests, answers)
    code = exit_code(lambda: become(request))
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without taking down, object by object, what was imported
