"""The sections on drawings of molecules and their wear."""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, model_validator


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
    return bounds


Drawer = Literal["indigo", "rdkit", "coordgen", "free", "printed", "restyled"]
Fraction = Annotated[float, Field(ge=0, le=1)]
FractionRange = Annotated[tuple[Fraction, Fraction], AfterValidator(_in_order)]
BondLength = Annotated[float, Field(ge=8, le=200)]  # pixels
BondLengthRange = Annotated[tuple[BondLength, BondLength], AfterValidator(_in_order)]


class Pen(NamedTuple):
    """How strokes and letters look."""

    bond_length_px: float
    margin_px: int  # of paper around the drawing
    line_width_px: int
    font: str  # one of those inside RDKit


class DrawingSettings(BaseModel):
    """What is drawn and how it looks; conf/base.yaml says what each means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_drawings: int = Field(ge=1)
    seed: int = Field(ge=0)
    num_processes: int | None = Field(ge=1)

    smiles_file: str | None
    only_unseen: bool
    recombined_fraction: Fraction
    stereo_fraction: Fraction
    isotope_fraction: Fraction
    group_fraction: Fraction
    min_heavy_atoms: int = Field(ge=2)
    max_heavy_atoms: int = Field(ge=2, le=200)

    drawers: dict[Drawer, float] = Field(min_length=1)
    bond_length_px: BondLength
    margin_px: int = Field(ge=4)
    reduced_fraction: Fraction
    reduced_scale: float = Field(gt=0.2, le=1)
    free_bond_length_px: BondLengthRange
    line_width_px: int = Field(ge=1)
    fonts_folder: str | None
    font: Literal["BuiltinTelexRegular", "BuiltinRobotoRegular"]

    noise: float = Field(ge=0, le=5)
    missing_pixel_fraction: FractionRange
    reduced_missing_pixel_fraction: FractionRange
    speck_density: FractionRange
    dropped_bond_fraction: Fraction
    sideways_fraction: Fraction

    @model_validator(mode="after")
    def _check_heavy_atoms(self) -> Self:
        if self.min_heavy_atoms > self.max_heavy_atoms:
            raise ValueError(f"min_heavy_atoms {self.min_heavy_atoms} is above max_heavy_atoms {self.max_heavy_atoms}")
        return self

    @model_validator(mode="after")
    def _check_drawers(self) -> Self:
        if min(self.drawers.values()) < 0 or not sum(self.drawers.values()):
            raise ValueError(f"drawers {self.drawers}: fractions must not be negative, and one must be above 0")
        return self


class WearSettings(BaseModel):
    """What happens to a drawing before the network sees it; conf/base.yaml says what each means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing_pixel_fraction: FractionRange
    speck_density: FractionRange
    dropped_bond_fraction: Fraction
    cleaned_fraction: Fraction
    whole_fraction: Fraction
    upside_down_fraction: Fraction
    turned_fraction: Fraction
    max_turn_deg: float = Field(ge=0, le=45)
    scale: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_in_order)]
    thick_fraction: Fraction
    blurred_fraction: Fraction
