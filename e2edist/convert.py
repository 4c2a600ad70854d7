"""``python -m e2edist.convert SOURCE --tagger T --output M.onnx``: to ONNX, and validated at once."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_shared, make_parser, to_path
from e2edist.cli.console import print_result, run_verb
from e2edist.cli.signals import run_process
from e2edist.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.parity.reference_scores import Reference

_OBJECTS = 256
_ENDING = ".onnx"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "convert",
        "Make an ONNX file with a free batch of a trained model, save the scores that its own "
        "framework gives reference objects beside it, and validate it against them. A file that is there is "
        "replaced only by one that passes.",
        "SOURCE: module:name of a torch model or of what makes one, TorchScript .pt, Keras .keras or "
        ".h5, a SavedModel folder, a frozen graph .pb. Exit codes: 0 the ONNX file gives the same scores, "
        "1 it does not, 2 the user must fix something.",
        "net:make --tagger eg --output my.onnx",
    )
    p.add_argument("source", metavar="SOURCE")
    add_shared(p, "tagger", required=True)
    p.add_argument("--output", type=to_path, required=True, metavar="ONNX", help="file to write")
    p.add_argument("--checkpoint", metavar="FILE", help="state_dict of module:name")
    p.add_argument("--input", nargs="+", metavar="FILE", dest="files", help="ROOT files of reference objects")
    p.add_argument("--objects", type=int, default=_OBJECTS, metavar="N", help=f"default: {_OBJECTS}")
    p.add_argument("--reference", type=to_path, metavar="FILE", help="saved scores, for a frozen graph")
    p.add_argument("--inputs", default="", metavar="NAME:0", help="image input of a frozen graph")
    p.add_argument("--outputs", default="", metavar="NAME:0", help="outputs of a frozen graph")
    p.add_argument("--fp16", action="store_true", help="write ONNX.fp16.onnx too, if its scores hold")
    p.add_argument(
        "--keep-failed", action="store_true", help="write a model whose scores don't hold as X.failed.onnx"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _convert, argv)


def _convert(args: argparse.Namespace, console: Console) -> int:
    from e2edist.config.tagger import load_tagger
    from e2edist.parity.converted_file import publish_model, staging_folder, validate_staged
    from e2edist.parity.export import export
    from e2edist.parity.frameworks import framework_scores, kind_of
    from e2edist.parity.reduced_precision import to_half
    from e2edist.parity.reference_objects import find_objects
    from e2edist.parity.report import outcome_line

    _check(args)
    # Only images and columns are needed of the tagger: any readable file stands in for the model to be made.
    tagger = load_tagger(args.tagger, os.devnull)
    kind, output = kind_of(args.source), args.output
    if args.reference is not None and kind != "frozen":
        what = f"is for frozen graphs: {args.source} is held to the scores of its own framework"
        raise ConfigError("--reference", what, "Leave it out; validate takes it afterwards.")
    objects = find_objects(tagger, args.files, args.objects)
    truth: Reference | Path | None = args.reference
    if kind != "frozen":
        truth = framework_scores(args.source, args.checkpoint, tagger, objects)
    if kind == "torch" and args.checkpoint is None:
        console.print(f"no --checkpoint: the weights are what {args.source} makes of itself")
    with staging_folder(output) as folder:

        def publish(staged: Path) -> int:
            verdict = validate_staged(args.tagger, staged, objects, truth)
            target = output.parent / staged.name
            code = publish_model(console, staged, target, verdict, keep_failed=args.keep_failed)
            if args.quiet:
                print_result(console, f"{target}: {outcome_line(verdict)}")
            return code

        staged = folder / output.name
        names = {"inputs": args.inputs, "outputs": args.outputs}
        export(args.source, args.checkpoint, tagger, staged, names)
        console.print(f"{args.source} ({kind}) -> {output}")
        code = publish(staged)
        if code or not args.fp16:
            return code
        half = folder / output.with_suffix(f".fp16{_ENDING}").name
        half.write_bytes(to_half(str(output)).SerializeToString())
        return publish(half)


def _check(args: argparse.Namespace) -> None:
    if args.output.suffix != _ENDING:
        raise ConfigError("--output", f"{args.output} does not end with {_ENDING}", "Name an ONNX file.")
    if args.output.is_dir():
        raise ConfigError("--output", f"{args.output} is a folder", "Name a file in it.")
    if args.objects < 2:
        raise ConfigError("--objects", f"{args.objects} can't be compared", "Take 2 or more.")


if __name__ == "__main__":
    run_process(main)
