"""What does a shop say about the sites that may show its checkout?"""

from typing import Annotated

import msgspec

from merchants.stores.embedding import ORIGIN_CHARS_MAX, ORIGINS_MAX

Origin = Annotated[str, msgspec.Meta(min_length=1, max_length=ORIGIN_CHARS_MAX)]


class EmbeddingBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The ``origins`` (``https://shop.example``) whose pages may show the store's checkout and pay
    buttons in a frame; without any nobody may."""

    origins: Annotated[list[Origin], msgspec.Meta(max_length=ORIGINS_MAX)]
