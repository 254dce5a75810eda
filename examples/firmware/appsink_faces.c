/* Faces from a GStreamer pipeline: the appsink's NV12 buffers are read in place, with the strides that the driver chose.
 *
 *   appsink_faces PLUGIN MODEL 'v4l2src device=/dev/video0 ! video/x-raw,format=NV12,width=1280,height=720' [FRAMES]
 */
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <stdio.h>
#include <stdlib.h>

#include "inference.h"

#define MAX_FACES 32

/* One buffer; 0 where it could be read. */
static int process(GstSample *sample, ef_context **context, network *net, long number) {
  GstVideoInfo info;
  GstVideoFrame frame;
  if (!gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) || !gst_video_frame_map(&frame, &info, gst_sample_get_buffer(sample), GST_MAP_READ)) return 1;
  if (!*context) {
    ef_config config = {.struct_size = sizeof config,
                        .max_width = (uint32_t)GST_VIDEO_FRAME_WIDTH(&frame),
                        .max_height = (uint32_t)GST_VIDEO_FRAME_HEIGHT(&frame),
                        .tensor_width = net->input.width,
                        .tensor_height = net->input.height};
    if (ef_create(&config, context) != EF_OK) *context = NULL;
  }
  ef_image image = {.struct_size = sizeof image,
                    .format = EF_FORMAT_NV12,
                    .width = (uint32_t)GST_VIDEO_FRAME_WIDTH(&frame),
                    .height = (uint32_t)GST_VIDEO_FRAME_HEIGHT(&frame),
                    .timestamp_ns = (int64_t)GST_BUFFER_PTS(gst_sample_get_buffer(sample))};
  for (int p = 0; p < 2; ++p) {
    image.planes[p] = GST_VIDEO_FRAME_PLANE_DATA(&frame, p);
    image.strides[p] = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, p);
  }
  if (info.colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT709) image.matrix = EF_MATRIX_BT709;
  if (info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255) image.range = EF_RANGE_FULL;
  ef_transform transform = {.struct_size = sizeof transform};
  ef_status status = *context ? ef_preprocess(*context, &image, &net->input, &transform) : EF_ERROR_MEMORY;
  gst_video_frame_unmap(&frame); /* the driver has its buffer back before the network runs */
  ef_face items[MAX_FACES];
  ef_faces faces = {.struct_size = sizeof faces, .face_size = sizeof(ef_face), .capacity = MAX_FACES, .items = items};
  const ef_decode_options options = {.struct_size = sizeof options, .min_score = 0.5f, .nms_iou = 0.45f};
  if (status == EF_OK && net->run(net->state) == 0) status = ef_decode(*context, net->outputs, net->output_count, &transform, &options, &faces);
  if (status != EF_OK) {
    fprintf(stderr, "frame %ld: %s\n", number, ef_status_string(status));
    return 1;
  }
  printf("%ld\t%.3f s\t%u faces\n", number, (double)transform.timestamp_ns * 1e-9, faces.count);
  for (uint32_t i = 0; i < faces.count; ++i)
    printf("\t%.0f %.0f %.0f %.0f\tscore %.3f\n", items[i].box[0], items[i].box[1], items[i].box[2], items[i].box[3], items[i].score);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s PLUGIN MODEL PIPELINE [FRAMES]\n", argv[0]);
    return 2;
  }
  network net;
  if (open_network(argv[1], argv[2], &net)) return 1;
  gst_init(&argc, &argv);
  /* The newest frame wins: one buffer in the sink, older ones are dropped. */
  gchar *text = g_strdup_printf("%s ! capsfilter caps=video/x-raw,format=NV12 ! appsink name=sink max-buffers=1 drop=true sync=false", argv[3]);
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch(text, &error);
  g_free(text);
  if (!pipeline || error) {
    fprintf(stderr, "%s\n", error ? error->message : "no pipeline");
    return 1;
  }
  GstElement *sink = gst_bin_get_by_name(GST_BIN(pipeline), "sink");
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  ef_context *context = NULL;
  const long wanted = argc > 4 ? strtol(argv[4], NULL, 10) : -1;
  long number = 0;
  int failed = 0;
  while (number != wanted && !failed) {
    GstSample *sample = gst_app_sink_pull_sample(GST_APP_SINK(sink));
    if (!sample) break; /* the end of the stream, or an error */
    failed = process(sample, &context, &net, number++);
    gst_sample_unref(sample);
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(sink);
  gst_object_unref(pipeline);
  ef_destroy(context);
  net.close(net.state);
  return failed || number == 0;
}
