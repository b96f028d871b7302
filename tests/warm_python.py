"""Scripts in processes of their own, which are forks of one that has imported torch or spaCy: the imports take seconds,
the scripts often none. Where processes cannot fork, each script is started as usual.
"""

import json
import os
import select
import subprocess
import sys
from pathlib import Path

SERVER = Path(__file__).with_name("warm_server.py")


class Script:
    """A script that runs.

    process: With `poll(timeout)`, which gives the exit code or None, and `kill(signal)`.
    files (Sequence[Path]): What it writes on standard output, and on standard error.
    """

    def __init__(self, process, files):
        self.poll, self.kill, self._files = process.poll, process.kill, files

    def wait(self, timeout=240):
        """RETURNS (int): The exit code. RAISES (TimeoutError): If it runs for so many seconds; then it is killed."""
        if self.poll(timeout) is None:
            self.kill()
            self.poll(60)
            raise TimeoutError(f"The script has run for {timeout} seconds:\n{''.join(self.outputs())}")
        return self.poll()

    def outputs(self):
        """RETURNS (list[str]): Standard output and standard error as they are by now."""
        return [path.read_text(encoding="utf8") for path in self._files]


class WarmPython:
    """Starts scripts, one after the other.

    folder (Path): For what the scripts write on standard output and standard error.
    modules (Sequence[str]): What they have imported when they start.
    hash_seed (Optional[int]): Their PYTHONHASHSEED, or None for that of this process.
    """

    def __init__(self, folder, modules, *, hash_seed=None):
        self.modules, self.hash_seed, self._folder, self._server = modules, hash_seed, folder, None
        self._fixed = {"OMP_NUM_THREADS": "1"}
        if hash_seed is not None:
            self._fixed["PYTHONHASHSEED"] = str(hash_seed)
        self._n_scripts = 0

    def start(self, *arguments, cwd=None, env=None):
        """Start `python *arguments`: the path of a script, `-c` with code, or `-m` with a module, and their arguments.

        RETURNS (Script): It has to end before the next one starts.
        """
        self._n_scripts += 1
        files = [self._folder / f"{self._n_scripts}.{name}" for name in ("out", "err")]
        env = {**(os.environ if env is None else env), **self._fixed}
        return Script(self._begin(list(map(str, arguments)), str(cwd or os.getcwd()), env, files), files)

    def run(self, *arguments, timeout=240, **options):
        """RETURNS (CompletedProcess): With the output as text."""
        script = self.start(*arguments, **options)
        return subprocess.CompletedProcess(arguments, script.wait(timeout), *script.outputs())

    def close(self):
        if self._server is not None:
            self._server.close()

    def _begin(self, arguments, cwd, env, files):
        if self._server is None:
            self._server = Server(self.modules, {**os.environ, **self._fixed})
        request = {"arguments": arguments, "cwd": cwd, "env": env, "files": list(map(str, files))}
        return Fork(self._server, self._server.ask(request))


class ColdPython(WarmPython):
    """The same, where processes cannot fork."""

    def _begin(self, arguments, cwd, env, files):
        with files[0].open("wb") as out, files[1].open("wb") as err:
            return Started([sys.executable, *arguments], cwd=cwd, env=env, stdout=out, stderr=err)


class Started(subprocess.Popen):
    def poll(self, timeout=0.0):
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self, signal=None):
        self.terminate() if signal is None else self.send_signal(signal)


class Server:
    """The process that forks itself."""

    def __init__(self, modules, env):
        command = [sys.executable, str(SERVER), *modules]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, env=env, bufsize=0, **pipes)

    def ask(self, request):
        """RETURNS (int): The number of the process that does what is asked for."""
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return self.read(240)

    def read(self, timeout):
        """RETURNS (Optional[int]): The next number that it says, or None if it says none for so many seconds."""
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            return None
        line = self._process.stdout.readline()
        assert line, "The server has ended."
        return int(line)

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:  # another fork of this process holds the other end of its input
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Fork:
    def __init__(self, server, pid):
        self._server, self._pid, self._code = server, pid, None

    def poll(self, timeout=0.0):
        if self._code is None:
            self._code = self._server.read(timeout)
        return self._code

    def kill(self, signal=9):
        if self.poll() is None:
            os.kill(self._pid, signal)
