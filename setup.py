"""What pyproject.toml cannot say: how the native library, graphrec/_native.so, is built from graphrec/csrc.

It uses neither Python's interface nor torch's, so one build serves every version of both. Without a C++ compiler, or
where compiling fails, graphrec is installed without it.

Environment:
    CXX, CXXFLAGS, LDFLAGS: the compiler (default: c++) and additions to its options.
    GRAPHREC_NATIVE: 0: the library is not built; 1: that it cannot be built is an error.
"""

import logging
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError
from setuptools.modified import newer_group

SOURCES = sorted(map(str, Path("graphrec/csrc").glob("*.cpp")))
HEADERS = sorted(map(str, Path("graphrec/csrc").glob("*.h")))

FLAGS = [
    "-std=c++17",
    "-fPIC",
    "-pthread",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
]
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
# For files of these names, on x86-64 (elsewhere they hold no code): which is run is decided when the library is loaded.
VECTOR_FLAGS = {
    "_avx2": ["-mavx2", "-mfma"],
    "_avx512": AVX512,
    "_bf16": [*AVX512, "-mavx512bf16"],
}


class BuildNative(build_ext):
    """Compile the library; where that fails, go on without it."""

    def get_ext_filename(self, fullname):
        """Its name, which is the same for every Python."""
        return os.path.join(*fullname.split(".")) + ".so"

    def run(self):
        """Where nothing was built, leave no library of an earlier build."""
        super().run()
        if not self.extensions:
            for folder in [self.build_lib, "."] if self.inplace else [self.build_lib]:
                Path(folder, self.get_ext_filename("graphrec._native")).unlink(missing_ok=True)

    def build_extensions(self):
        """Compile and link, or take the library off the list of what is built."""
        wanted = os.environ.get("GRAPHREC_NATIVE")
        try:
            if wanted == "0":
                raise CompileError("GRAPHREC_NATIVE is 0")
            self.compile_and_link()
        except CompileError as error:
            if wanted == "1":
                raise
            self.warn(f"graphrec is built WITHOUT its native library, to run in PyTorch alone: {error}")
            self.extensions.clear()

    def compile_and_link(self):
        """One compiler process per file, side by side; files that are newer than what they are made of are kept."""
        compiler = [*(_words("CXX") or ["c++"]), "-O3", *_words("ARCHFLAGS"), *_words("CXXFLAGS")]
        is_x86_64 = _run([*compiler, "-dumpmachine"]).startswith("x86_64")
        folder, library = Path(self.build_temp), Path(self.get_ext_fullpath("graphrec._native"))
        folder.mkdir(parents=True, exist_ok=True)
        library.parent.mkdir(parents=True, exist_ok=True)

        objects, commands = [], []
        for source in SOURCES:
            objects.append(str(folder / (Path(source).stem + ".o")))
            if self.force or newer_group([source, *HEADERS, __file__], objects[-1]):
                kinds = [name for name in VECTOR_FLAGS if is_x86_64 and Path(source).stem.endswith(name)]
                vector_flags = [flag for name in kinds for flag in VECTOR_FLAGS[name]]
                if "_bf16" in kinds and not _accepts(compiler, vector_flags):
                    vector_flags = []
                commands.append([*compiler, *FLAGS, *vector_flags, "-c", source, "-o", objects[-1]])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_run, commands))
        _run([*compiler, "-shared", "-pthread", *objects, *_words("LDFLAGS"), "-o", str(library)])


class TaggedWheel(bdist_wheel):
    """A wheel for every Python: of this platform with the library, of any without."""

    def run(self):
        """Build before all else: only then is it known whether there is a library."""
        self.run_command("build")
        self.skip_build = True
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()

    def get_tag(self):
        """As `py3-none-linux_x86_64`."""
        return "py3", "none", super().get_tag()[2]


def _words(variable):
    return shlex.split(os.environ.get(variable, ""))


def _accepts(compiler, flags):
    """Whether a compiler knows these options; what they are for is left out where it does not."""
    try:
        _run([*compiler, *flags, "-E", "-x", "c++", os.devnull])
    except CompileError:
        return False
    return True


def _run(command):
    logging.info(shlex.join(command))
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise CompileError(f"there is no C++ compiler ({error})") from None
    if done.returncode:
        raise CompileError(f"the C++ compiler failed: {shlex.join(command)}\n{done.stderr}")
    print(done.stderr, end="", file=sys.stderr)
    return done.stdout


setup(
    ext_modules=[Extension("graphrec._native", SOURCES, depends=HEADERS, language="c++")],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": TaggedWheel},
)
