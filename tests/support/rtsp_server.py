"""An RTSP server on the loopback interface that shows a red test picture as RTP/JPEG. Run as a program of its own:

python rtsp_server.py PORT      (0: any free one); prints the port once it serves
"""

import sys

# RTP/JPEG is for 4:2:0 and 4:2:2 (RFC 2435)
PIPELINE = (
    "( videotestsrc is-live=true pattern=red ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 "
    "! jpegenc ! rtpjpegpay name=pay0 pt=26 )"
)


def main() -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    Gst.init(None)
    for name in ("videotestsrc", "jpegenc", "rtpjpegpay"):
        if Gst.ElementFactory.find(name) is None:
            raise ImportError(f"GStreamer has no {name}")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
    server.get_mount_points().add_factory("/red", factory)
    if not server.attach(None):
        raise OSError(f"port {sys.argv[1]} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
