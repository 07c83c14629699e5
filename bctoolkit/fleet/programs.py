"""The few lines of Python that run on a machine before anything of ours is there, and after. Arguments come in argv."""

__all__ = ["PREFIX", "PROBE", "REMOVE", "UNPACK"]

PREFIX = "bctk-fleet-"
"""What the name of each temporary folder begins with."""

PROBE = f"""
import sys
sys.path[:] = [path for path in sys.path if path]
import importlib.util, json, os, platform, tempfile
facts = {{
    "version": list(sys.version_info[:2]),
    "implementation": sys.implementation.name,
    "executable": sys.executable,
    "system": platform.system(),
    "machine": platform.machine(),
    "libc": list(platform.libc_ver()),
    "installed": [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
}}
folder = tempfile.mkdtemp(prefix={PREFIX!r})
print(json.dumps(dict(facts, folder=os.path.realpath(folder))))
"""
"""Prints what is there, and the temporary folder (0700) that it has made; argv: modules to look for."""

UNPACK = """
import sys
sys.path[:] = [path for path in sys.path if path]
import tarfile
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as archive:
    archive.extractall(sys.argv[1], **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
"""
"""Unpacks standard input; argv: the folder."""

REMOVE = f"""
import sys
sys.path[:] = [path for path in sys.path if path]
import fcntl, os, shutil, signal, time
folder = sys.argv[1]
if not os.path.basename(folder).startswith({PREFIX!r}):
    sys.exit("not a folder of ours")
def is_running(lock):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
try:
    with open(os.path.join(folder, "lock")) as lock:
        group = int(lock.read() or 0)
        for number in [signal.SIGTERM] * 20 + [signal.SIGKILL] * 20:
            if not group or not is_running(lock):
                break
            try:
                os.killpg(group, number)
            except ProcessLookupError:
                break
            time.sleep(0.1 if number == signal.SIGTERM else 0.05)
except (OSError, ValueError):
    pass
shutil.rmtree(folder, ignore_errors=True)
sys.exit("could not be removed" if os.path.exists(folder) else 0)
"""
"""Stops what runs in a temporary folder and removes it; argv: the folder. Its process group is the holder of the
lock, so that no number that another process has got meanwhile is ever signalled."""
