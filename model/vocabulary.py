"""Tokens to ids and back, in an order that never changes; knows nothing of what a token means."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SPECIAL_TOKENS = ("<pad>", "<start>", "<end>", "<unknown>")
PAD, START, END, UNKNOWN = range(len(SPECIAL_TOKENS))


class VocabularyError(ValueError):
    """Raised when a list of tokens cannot be a vocabulary; the message names the token."""


class TokenIdError(ValueError):
    """Raised when an id has no token; the message names the id and the number of tokens."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens a captioner can write; a token's id is its index, the four special tokens come first."""

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL_TOKENS)] != SPECIAL_TOKENS:
            raise VocabularyError(f"a vocabulary starts with {SPECIAL_TOKENS}, this one with {self.tokens[:4]}")
        for token, count in Counter(self.tokens).items():
            if count > 1:
                raise VocabularyError(f"token {token!r} appears {count} times in the vocabulary")
            if not isinstance(token, str) or not token:
                raise VocabularyError(f"a token is a non-empty string, seen {token!r}")

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def from_tokens(cls, tokens: Iterable[str]) -> "Vocabulary":
        """Return the vocabulary of these tokens: sorted, so that the same set always gets the same ids.

        Raises VocabularyError if one of them is a special token, which a caption must not contain.
        """
        distinct = set(tokens)
        for special in SPECIAL_TOKENS:
            if special in distinct:
                raise VocabularyError(f"token {special!r} is reserved and cannot come from a caption")
        return cls(SPECIAL_TOKENS + tuple(sorted(distinct)))

    def extended(self, tokens: Iterable[str]) -> "Vocabulary":
        """Return the vocabulary with these tokens too; the ids of those that it has stay.

        Raises VocabularyError if one of them is a special token, which a caption must not contain.
        """
        return Vocabulary(self.tokens + tuple(sorted(set(tokens) - self._ids.keys())))

    @cached_property
    def _ids(self) -> dict[str, int]:
        # Without the specials: a caption that spells out "<end>" must not end itself.
        return {token: index for index, token in enumerate(self.tokens) if index >= len(SPECIAL_TOKENS)}

    def encode(self, tokens: list[str]) -> list[int]:
        """Return the ids of these tokens, UNKNOWN for what is not in the vocabulary; adds no start and no end."""
        return [self._ids.get(token, UNKNOWN) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of these ids, special ones included. Raises TokenIdError for an id without a token."""
        tokens = []
        for token_id in ids:
            if not 0 <= token_id < len(self.tokens):
                raise TokenIdError(f"token id {token_id} is outside a vocabulary of {len(self.tokens)} tokens")
            tokens.append(self.tokens[token_id])
        return tokens

    def save(self, path: str | Path) -> None:
        """Write the tokens as a JSON list, in id order."""
        Path(path).write_text(json.dumps(list(self.tokens), ensure_ascii=False, indent=0), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Read what `save` wrote. Raises VocabularyError if the file holds anything else."""
        try:
            tokens = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise VocabularyError(f"{path} is not JSON: {error}") from error
        if not isinstance(tokens, list):
            raise VocabularyError(f"{path} should hold a JSON list of tokens, it holds a {type(tokens).__name__}")
        return cls(tuple(tokens))
