"""``python -m e2edist.validate MODEL | --tagger T``: the same scores in every way a model may run, or not."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_shared, make_parser, to_path
from e2edist.cli.console import print_result, run_verb
from e2edist.cli.signals import run_process
from e2edist.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.config.tagger import TaggerSpec
    from e2edist.parity.reference_objects import ReferenceObjects
    from e2edist.parity.reference_scores import Reference

#: Reference objects, unless the user wants others.
_OBJECTS = 256
#: Bytes of images in one call; some variants have three times as many.
_LARGEST = 2**30


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "validate",
        "Run reference objects through every way a model may be run, and compare the scores with "
        "a reference: saved scores (MODEL with the ending .reference.npz is taken if it is there), the "
        "source framework, or the plainest run of the model itself. Limits are [tolerance] of the tagger.",
        "Exit codes: 0 passed, 1 failed, 2 the user must fix something. The verdict is kept beside the "
        "model, or in the user's cache, and submit refuses a model that failed.",
        "--tagger eg",
        "my.onnx --tagger eg --reference saved.npz",
    )
    p.add_argument("model", nargs="?", metavar="MODEL", help="ONNX file (default: the tagger's own)")
    p.add_argument(
        "--tagger",
        metavar="NAME",
        help="name of a tagger, or a tagger's TOML file (default: found by the model)",
    )
    p.add_argument(
        "--input", nargs="+", metavar="FILE", dest="inputs", help="ROOT files of reference objects"
    )
    add_shared(p, "format", "tree")
    p.add_argument("--objects", type=int, default=_OBJECTS, metavar="N", help=f"default: {_OBJECTS}")
    p.add_argument(
        "--reference", type=to_path, metavar="FILE", help="saved scores: .npz, .parquet, an --output"
    )
    p.add_argument("--source", metavar="S", help="model in its framework: module:name, TorchScript, Keras")
    p.add_argument("--checkpoint", metavar="FILE", help="weights of --source module:name")
    p.add_argument(
        "--exact", action="store_true", help="reference: numpy in float64, operator by operator; slow"
    )
    p.add_argument(
        "--save-reference", type=to_path, metavar="FILE", help="write the reference's scores as .npz"
    )
    p.add_argument("--batch", type=int, default=0, metavar="N", help="images in one call (default: tagger's)")
    p.add_argument("--fp16", action="store_true", help="hold a float16 copy to the tolerance too")
    p.add_argument("--int8", action="store_true", help="hold an int8 copy (dynamic) to the tolerance too")
    p.add_argument("--tf32", action="store_true", help="hold TF32 on a GPU to the tolerance too")
    p.add_argument("--json", type=to_path, metavar="FILE", help="write the verdict there as well")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _validate, argv)


def _validate(args: argparse.Namespace, console: Console) -> int:
    from e2edist.engines import runtime
    from e2edist.parity.report import outcome_line, report
    from e2edist.parity.variants import Options
    from e2edist.parity.verdict import examine

    _check(args)
    runtime()
    try:
        tagger, alone = _target(args)
    except ModelError as error:
        if args.model is None or args.tagger is not None or not Path(args.model).is_file():
            raise
        print_result(console, f"refused: {error}")
        return 1
    _check_batch(args.batch, tagger)
    objects, reference = _references(args, tagger, alone=alone)
    options = Options(args.batch, args.fp16, args.int8, args.tf32)
    verdict = examine(tagger, objects, reference, options)
    code = report(console, verdict, args.json)
    if args.quiet:
        print_result(console, outcome_line(verdict))
    return code


def _check(args: argparse.Namespace) -> None:
    if args.model is None and args.tagger is None:
        raise ConfigError("", "nothing to validate", "Name an ONNX file, or --tagger.")
    if args.objects < 2:
        raise ConfigError("--objects", f"{args.objects} can't be compared", "Take 2 or more.")
    if args.batch < 0:
        raise ConfigError(
            "--batch", f"{args.batch} is no number of images", "Take 1 or more, 0: the tagger's."
        )
    given = [name for name in ("reference", "source", "exact") if getattr(args, name)]
    if len(given) > 1:
        raise ConfigError(" ".join(f"--{name}" for name in given), "are several references", "Leave one.")
    if args.save_reference is not None and not {"source", "exact"} & set(given):
        raise ConfigError("--save-reference", "has nothing to save", "Name --source, or --exact.")
    if args.checkpoint is not None and args.source is None:
        raise ConfigError("--checkpoint", "belongs to a model", "Name it with --source module:name.")


def _check_batch(batch: int, tagger: TaggerSpec) -> None:
    size = 4 * len(tagger.channels) * tagger.crop.size**2
    if batch * size > _LARGEST:
        what = f"{batch} images in a call are {batch * size / 2**30:,.0f} GiB"
        raise ConfigError("--batch", what, f"Take at most {_LARGEST // size}.")


def _target(args: argparse.Namespace) -> tuple[TaggerSpec, bool]:
    """Return the tagger with its model, and whether it is only a stand-in for a model without one."""
    from e2edist.config.tagger import load_tagger
    from e2edist.parity.target import packaged_tagger_of, stand_in

    if args.tagger is not None:
        return load_tagger(args.tagger, args.model), False
    name = packaged_tagger_of(Path(args.model))
    if name is not None:
        return load_tagger(name, args.model), False
    return stand_in(Path(args.model)), True


def _references(
    args: argparse.Namespace, tagger: TaggerSpec, *, alone: bool
) -> tuple[ReferenceObjects | None, Reference | None]:
    """Return reference objects, and the reference if there is one."""
    from e2edist.parity.float64_reference import float64_scores
    from e2edist.parity.frameworks import framework_scores
    from e2edist.parity.reference_scores import load_reference, reference_path, save_reference

    objects = _reference_objects(args, tagger, alone=alone)
    if args.source is not None or args.exact:
        if args.exact:
            made = float64_scores(tagger, objects)
        else:
            made = framework_scores(args.source, args.checkpoint, tagger, objects)
        if args.save_reference is not None:
            save_reference(args.save_reference, tagger, made)
        return None, made
    path = args.reference or reference_path(tagger.model.path)
    if args.reference is None and not path.is_file():
        return objects, None
    reference = load_reference(path, tagger, objects)
    same = reference.objects.keys or reference.objects is objects
    return (None if same else objects), reference


def _reference_objects(args: argparse.Namespace, tagger: TaggerSpec, *, alone: bool) -> ReferenceObjects:
    from e2edist.engines import image_shape
    from e2edist.parity.reference_objects import find_objects, random_images

    if alone:
        if args.inputs is not None:
            raise ConfigError("--input", "needs a tagger to make images with", "Name it with --tagger.")
        # Foreign networks may be large: some images are enough for what can be said without a tagger.
        return random_images(image_shape(tagger), min(args.objects, 16))
    return find_objects(tagger, args.inputs, args.objects, format=args.format, tree=args.tree)


if __name__ == "__main__":
    run_process(main)
