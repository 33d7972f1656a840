"""How well the pretrained model reads what other programs draw for anyone: `make bench-other-drawers SMILES=...`.

CDK, OpenBabel, PIKAChU, Indigo and RDKit in their own default styles, of molecules that no training has seen. The first
three are no part of this project: what PACKAGES names is where pip has put them.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from bench.lakeless_settings import lakeless_settings
from bench.quality_sets import Sample, unseen_with_inchi
from lib.captioning.captioner import Captioner
from lib.lake.java import ensure_java
from lib.molecules.free_style import FONTS_FOLDER

BATCH = 30
OPENBABEL_PX = 500
RESULTS = Path(__file__).parent / "results" / "other_drawers.json"
DrawSmiles = Callable[[str], bytes]  # PNG


def by_cdk(packages: Path) -> DrawSmiles:
    """Through a Java process that ends with this one; the jar is RanDepict's."""
    from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

    ensure_java()
    jar = next(packages.glob("RanDepict/assets/jar_files/cdk-*.jar"))
    port = launch_gateway(classpath=str(jar), die_on_exit=True, javaopts=["-Djava.awt.headless=true"])
    cdk = JavaGateway(gateway_parameters=GatewayParameters(port=port)).jvm.org.openscience.cdk
    parser = cdk.smiles.SmilesParser(cdk.silent.SilentChemObjectBuilder.getInstance())
    generator = cdk.depict.DepictionGenerator().withZoom(2.0)

    def draw(smiles: str) -> bytes:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            generator.depict(parser.parseSmiles(smiles)).writeTo(file.name)
            return Path(file.name).read_bytes()

    return draw


def by_openbabel(_: Path) -> DrawSmiles:
    """OpenBabel's SVG, rastered by resvg in a font that every machine has: without any it leaves the letters out."""
    import resvg_py
    from openbabel import pybel

    def draw(smiles: str) -> bytes:
        svg = pybel.readstring("smi", smiles).write("svg")
        fonts = {"font_dirs": [str(FONTS_FOLDER)], "skip_system_fonts": True, "sans_serif_family": "DejaVu Sans"}
        return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=OPENBABEL_PX, background="white", **fonts))

    return draw


def by_pikachu(_: Path) -> DrawSmiles:
    """PIKAChU, which draws with matplotlib."""
    from pikachu.general import png_from_smiles

    def draw(smiles: str) -> bytes:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            png_from_smiles(smiles, file.name)
            return Path(file.name).read_bytes()

    return draw


def by_indigo(_: Path) -> DrawSmiles:
    """Indigo as it comes: in colour, CH3 at ends, circles in aromatic rings."""
    from indigo import Indigo
    from indigo.renderer import IndigoRenderer

    indigo = Indigo()
    renderer = IndigoRenderer(indigo)
    indigo.setOption("render-output-format", "png")
    indigo.setOption("render-background-color", 1.0, 1.0, 1.0)

    def draw(smiles: str) -> bytes:
        molecule = indigo.loadMolecule(smiles)
        molecule.layout()
        return bytes(renderer.renderToBuffer(molecule))

    return draw


def by_rdkit(_: Path, is_acs: bool = False) -> DrawSmiles:
    """RDKit at 500 x 400, or in the style of the ACS's journals, as large as that is."""

    def draw(smiles: str) -> bytes:
        molecule = Chem.MolFromSmiles(smiles)
        canvas = rdMolDraw2D.MolDraw2DCairo(*((-1, -1) if is_acs else (500, 400)))
        if is_acs:
            rdMolDraw2D.DrawMoleculeACS1996(canvas, molecule)
        else:
            canvas.DrawMolecule(molecule)
        canvas.FinishDrawing()
        return bytes(canvas.GetDrawingText())

    return draw


DRAWERS: dict[str, Callable[[Path], DrawSmiles]] = {
    "CDK": by_cdk,
    "OpenBabel": by_openbabel,
    "PIKAChU": by_pikachu,
    "Indigo's defaults": by_indigo,
    "RDKit at 500 x 400": by_rdkit,
    "RDKit, ACS style": lambda packages: by_rdkit(packages, is_acs=True),
}


def samples_of(draw: DrawSmiles, molecules: list[tuple[str, str]]) -> list[Sample]:
    """Drawings of InChIs with their SMILES; those that the program cannot draw are left out."""
    samples = []
    for number, (inchi, smiles) in enumerate(molecules):
        try:
            samples.append(Sample(str(number), inchi, draw(smiles)))
        except Exception as error:  # whatever a stranger's program raises
            print(f"not drawn: {smiles}: {type(error).__name__}", file=sys.stderr)
    return samples


def score(captioner: Captioner, samples: list[Sample]) -> dict[str, Any]:
    """Fraction read exactly, of all and of those with and without stereo, and mean confidence."""
    captions = [
        caption
        for start in range(0, len(samples), BATCH)
        for caption in captioner.caption([sample.image for sample in samples[start : start + BATCH]])
    ]
    exact = np.array([caption.caption == sample.inchi for caption, sample in zip(captions, samples, strict=True)])
    has_stereo = np.array([sample.has_stereo for sample in samples])
    return {
        "images": len(samples),
        "exact": round(float(exact.mean()), 3),
        "exact_with_stereo": round(float(exact[has_stereo].mean()), 3) if has_stereo.any() else None,
        "exact_without": round(float(exact[~has_stereo].mean()), 3) if (~has_stereo).any() else None,
        "mean_confidence": round(float(np.mean([caption.confidence or 0.0 for caption in captions])), 3),
    }


def main(argv: list[str] | None = None) -> None:
    """Draw, read and print a row for each program; those whose package is not there are named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--packages", type=Path, default=Path(os.environ.get("PACKAGES", ".other_drawers")))
    parser.add_argument("--number", type=int, default=40)
    parser.add_argument("--model", help="directory of a checkpoint; without it the pretrained model")
    parser.add_argument("--keep", type=Path, help="folder for the drawings")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args(argv)
    sys.path.append(str(arguments.packages))
    settings = lakeless_settings(arguments.overrides)
    molecules = [
        (inchi, Chem.MolToSmiles(molecule)) for inchi, molecule in islice(unseen_with_inchi(settings), arguments.number)
    ]
    captioner = Captioner(arguments.model) if arguments.model else Captioner.pretrained("molecules")
    model = Path(arguments.model).name if arguments.model else "pretrained"
    rows = {}
    for name, load in DRAWERS.items():
        try:
            draw = load(arguments.packages)
        except (ImportError, StopIteration):
            print(f"{name:20} its package is not there: make bench-other-drawers")
            continue
        samples = samples_of(draw, molecules)
        if arguments.keep:
            folder = arguments.keep / name.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            for sample in samples:
                (folder / f"{sample.image_id}.png").write_bytes(sample.image)
        if samples:
            rows[name] = score(captioner, samples)
            print(f"{name:20} " + "  ".join(f"{key} {value}" for key, value in rows[name].items()), flush=True)
    RESULTS.write_text(json.dumps({"model": model, "drawers": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
