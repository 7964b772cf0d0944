"""Media types of files by their extension.

One table of ours and not the system's: what is served must not depend on the machine.
"""

from __future__ import annotations

from typing import Final

_TYPES: Final = """
application/atom+xml atom
application/epub+zip epub
application/geo+json geojson
application/gzip gz tgz
application/java-archive jar
application/javascript mjs
application/json json
application/json5 json5
application/ld+json jsonld
application/manifest+json webmanifest
application/msword doc
application/ogg ogx
application/pdf pdf
application/rss+xml rss
application/rtf rtf
application/sql sql
application/toml toml
application/vnd.apple.mpegurl m3u8
application/vnd.mozilla.xul+xml xul
application/vnd.ms-excel xls
application/vnd.ms-fontobject eot
application/vnd.ms-powerpoint ppt
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/wasm wasm
application/x-7z-compressed 7z
application/x-bzip2 bz2
application/x-sh sh
application/x-tar tar
application/x-x509-ca-cert crt der pem
application/x-xz xz
application/xhtml+xml xhtml
application/xslt+xml xslt
application/zip zip
application/zstd zst
application/octet-stream bin deb dmg exe img iso msi rpm
audio/aac aac
audio/flac flac
audio/midi mid midi
audio/mp4 m4a
audio/mpeg mp3
audio/ogg oga ogg opus
audio/wav wav
audio/webm weba
font/collection ttc
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/jpeg jpeg jpg jpe
image/jxl jxl
image/png png
image/svg+xml svg svgz
image/tiff tif tiff
image/webp webp
image/x-icon ico cur
model/gltf+json gltf
model/gltf-binary glb
model/stl stl
text/cache-manifest appcache
text/calendar ics
text/css css
text/csv csv
text/html html htm
text/javascript js
text/jsx jsx
text/markdown md markdown
text/plain c cfg conf h ini log map py text txt
text/tab-separated-values tsv
text/vcard vcf
text/vtt vtt
text/x-yaml yaml yml
text/xml xml xsd xsl
video/3gpp 3gp
video/mp2t ts m2ts
video/mp4 mp4 m4v
video/mpeg mpeg mpg
video/ogg ogv
video/quicktime mov
video/webm webm
video/x-matroska mkv
video/x-msvideo avi
"""

# XML names its encoding itself, and a charset from outside would override it (RFC 7303 3).
_WITHOUT_CHARSET: Final = ("text/xml",)


def _content_type(name: str) -> bytes:
    if name.startswith("text/") and name not in _WITHOUT_CHARSET:
        name += "; charset=utf-8"
    return name.encode()


CONTENT_TYPES: Final[dict[str, bytes]] = {
    extension: _content_type(words[0])
    for words in map(str.split, _TYPES.strip().splitlines())
    for extension in words[1:]
}
"""Values of Content-Type by extension, without the dot, in lower case."""


def content_type(name: str) -> bytes | None:
    """Return the Content-Type for a file called *name*; None if nothing is known."""
    stem, dot, extension = name.rpartition(".")
    return CONTENT_TYPES.get(extension.lower()) if dot and stem else None
