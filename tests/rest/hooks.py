"""What schemathesis has to know besides the document: how some bodies are made."""

import schemathesis
from hypothesis import strategies as st

# The smallest PNG: one pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)

for kind in ("image/png", "image/jpeg", "image/gif", "image/webp"):
    # The program looks at the file, and not at what it is said to be.
    schemathesis.openapi.media_type(kind, st.just(PNG))


@schemathesis.hook
def before_load_schema(context, raw_schema):
    # Of a type whose bodies are made here, an example can only be bytes. The tests of the pages send it.
    content = raw_schema["paths"]["/api/v1/movies/import"]["post"]["requestBody"]["content"]
    del content["application/x-ndjson"]["example"]


@schemathesis.serializer("application/x-ndjson", "image/png", "image/jpeg", "image/gif", "image/webp")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("image/png")
def shown(context, response):
    return response.content.decode("latin-1")


schemathesis.openapi.media_type("application/x-ndjson", st.just(b'{"title": "Heat", "external_ids": {"tmdb": "949"}}\n'))
