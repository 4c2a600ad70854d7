"""The checks of CONTRIBUTING.md by name: ``nox -s lint types layers tests``."""

import nox

nox.options.sessions = ["lint", "types", "layers", "tests"]
nox.options.reuse_existing_virtualenvs = True

#: One test process a core; the tests of one cluster stay together.
_PARALLEL = ("-n", "logical", "--maxprocesses", "8")


def _install(session: nox.Session) -> None:
    session.install("-e", ".[cpu,test]")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    _install(session)
    session.run("mypy")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports go down only."""
    _install(session)
    session.run("lint-imports", "--no-cache")


@nox.session
def quick(session: nox.Session) -> None:
    """Run the unit tests, for editing: about a minute; arguments behind -- go to pytest."""
    _install(session)
    folders = ("tests/unit", "tests/conformance", "tests/golden")
    session.run("pytest", *_PARALLEL, "-m", "not slow", *folders, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run tests; arguments behind -- go to pytest."""
    _install(session)
    session.run("pytest", *_PARALLEL, *(session.posargs or ["-m", "not slow"]))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site of the documentation into docs/_build, warnings as errors."""
    session.install("-e", ".[cpu,docs]")
    session.run("python", "docs/reference.py", "--check")
    session.run("sphinx-build", "-W", "docs", "docs/_build")
