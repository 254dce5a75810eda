SUMMARY = "Face perception on ARM boards: boxes, landmarks, head pose and quality from one small int8 network"
SECTION = "devel/python"

require edgeface.inc

inherit python_pep517 python3native python3targetconfig pkgconfig

DEPENDS += "python3-scikit-build-core-native python3-pybind11-native cmake-native ninja-native"

RDEPENDS:${PN} = " \
    python3-core \
    python3-fastjsonschema \
    python3-jinja2 \
    python3-json \
    python3-numpy \
    python3-opencv \
    python3-rich \
    python3-typer \
"
# One inference runtime is needed; which one is the image's choice.
RRECOMMENDS:${PN} = "python3-onnxruntime"

FILES:${PN} += "${PYTHON_SITEPACKAGES_DIR}/edgeface ${sysconfdir}/profile.d/edgeface.sh"

# The systemd unit: IMAGE_INSTALL python3-edgeface-service
inherit systemd
PACKAGES =+ "${PN}-service"
SYSTEMD_PACKAGES = "${PN}-service"
SYSTEMD_SERVICE:${PN}-service = "edgeface.service"
RDEPENDS:${PN}-service = "${PN}"

do_install:append() {
    # onnxruntime reports unless it is told not to, in the user's own programs as well
    install -d ${D}${sysconfdir}/profile.d
    echo 'export ORT_DISABLE_TELEMETRY="${ORT_DISABLE_TELEMETRY:-1}"' > ${D}${sysconfdir}/profile.d/edgeface.sh
    install -d ${D}${systemd_system_unitdir}
    sed 's|/opt/edgeface/bin|${bindir}|' ${S}/edgeface/boards/deploy/edgeface.service \
        > ${D}${systemd_system_unitdir}/edgeface.service
}
FILES:${PN}-service = "${systemd_system_unitdir}/edgeface.service"
