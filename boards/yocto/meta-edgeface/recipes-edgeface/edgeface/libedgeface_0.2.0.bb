SUMMARY = "Camera frames to network inputs, network outputs to faces: the C library of edgeface"
SECTION = "libs"

require edgeface.inc

inherit cmake pkgconfig

EXTRA_OECMAKE = "-DEDGEFACE_PYTHON=OFF -DEDGEFACE_TESTS=OFF"
EXTERNALSRC_BUILD = "${WORKDIR}/build"

FILES:${PN}-dev += "${libdir}/cmake/edgeface"
BBCLASSEXTEND = "native nativesdk"
