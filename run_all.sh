#!/usr/bin/env bash
# Sets up on a fresh machine, then runs the notebooks (./run_all.sh --help) or the tests (./run_all.sh test).
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE # else every kernel and worker compiles all packages again, for ten seconds

caller=$PWD
cd -P "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
log=.cache/setup.log

fail() {
    echo "run_all.sh: $1" >&2
    exit 1
}

# The active environment if this checkout is installed in it, else .venv.
find_environment() {
    local active installed
    for active in ${VIRTUAL_ENV:+"$VIRTUAL_ENV"} ${CONDA_PREFIX:+"$CONDA_PREFIX"}; do
        installed=$("$active/bin/python" -I -c 'import lib; print(lib.__path__[0])' 2>/dev/null) || continue
        [ "$installed" -ef lib ] && echo "$active" && return
    done
    echo "$PWD/.venv"
}

# The environment's own Python or, before there is one, the first that is new enough.
find_python() {
    local name
    for name in "$environment/bin/python" python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name" && return
        fi
    done
    fail "Python 3.11 or newer is needed, and python3 is $(python3 --version 2>&1 | tail -n 1): install one, or use conda (environment.yml)"
}

# What a finished set-up was made from. A moved checkout is set up again.
fingerprint() {
    { cat requirements.lock pyproject.toml && pwd; } | { sha256sum 2>/dev/null || shasum -a 256; }
}

is_set_up() {
    [ "$(cat "$environment/bert-bald.stamp" 2>/dev/null)" = "$(fingerprint)" ]
}

# step WHAT COMMAND...: one step of the set-up; its output goes to the log.
step() {
    local what=$1
    shift
    "$@" >>"$log" 2>&1 ||
        fail "set-up failed: $what. Is the network there, and room on the disk? $PWD/$log says more; the same command tries again"
}

# Without byte code, which takes half of the time: Python writes it for what is used.
pip_install() {
    "$environment/bin/python" -m pip --disable-pip-version-check --no-input install --no-compile --progress-bar off "$@"
}

# A .venv that was made here, for this path, and whose pip starts: what a user added to it stays.
is_usable() {
    [ "$python" = "$environment/bin/python" ] && grep -qF "$environment/bin/python" "$environment/bin/pip" 2>/dev/null &&
        "$python" -m pip --version >/dev/null 2>&1
}

set_up() {
    echo "Setting up $environment, about two minutes (log: $log)"
    : >"$log"
    rm -f "$environment/bert-bald.stamp"
    if [ "$environment" = "$PWD/.venv" ] && ! is_usable; then
        "$python" -c 'import ensurepip, venv' 2>>"$log" ||
            fail "$python cannot make virtual environments: install its venv module (Debian: python3-venv), or use conda (environment.yml)"
        step "making .venv" "$python" -m venv --clear .venv
    fi
    step "installing requirements.lock" pip_install --no-deps -r requirements.lock
    if ! "$environment/bin/python" -c 'import torch' 2>>"$log"; then
        echo "This build of torch needs CUDA packages: installing them"
        step "installing torch" pip_install "$(grep '^torch==' requirements.lock)"
    fi
    step "installing lib" pip_install --no-deps --no-build-isolation -e .
    # without the folder in which it is started, where another lib may lie
    step "registering the kernel" "$environment/bin/python" - <<'PYTHON'
import sys
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager

spec = write_kernel_spec(
    overrides={"display_name": "BERT and BALD"},
    extra_arguments=["--InteractiveShellApp.ignore_cwd=True"],
    python_arguments=["-Xfrozen_modules=off"],  # as ipykernel does: its debugger needs it
)
KernelSpecManager().install_kernel_spec(spec, "bert-bald", prefix=sys.prefix)
PYTHON
    fingerprint >"$environment/bert-bald.stamp"
}

# For the tests of the notebooks in JupyterLab, which are skipped without: tests/browser.py has the same names.
install_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do
        command -v "$name" >/dev/null && return
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing Chromium for the tests in JupyterLab, about half a minute (log: $log)"
        { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } >>"$log" 2>&1 && return
        echo "Chromium could not be installed"
    fi
    echo "No Chromium or Chrome on PATH: the tests in JupyterLab are skipped"
}

environment=$(find_environment)
python=$(find_python)

if ! mkdir -p .cache 2>/dev/null || [ ! -w .cache ]; then # somebody else's checkout
    is_set_up || fail "$PWD is not set up and cannot be written to: clone it to a folder of your own"
    log=/dev/null
fi
if ! is_set_up; then
    exec 9>.cache/setup.lock
    if command -v flock >/dev/null && ! flock --nonblock 9; then
        echo "Waiting for another set-up of this checkout"
        flock 9
    fi
    is_set_up || set_up
    exec 9>&-
fi
python=$environment/bin/python
"$python" -m lib.data.sources >>"$log"

if [ "${1:-}" = test ]; then
    shift
    install_browser
    exec "$python" -m pytest "$@"
fi
cd "$caller" # paths of the command are relative to it; -P: a lib or a module that lies there is not imported
exec "$python" -P -m lib.cli "$@"
