/* libedgeface_engine: the whole pipeline in C. A bundle (NAME.efm) and frames in, faces out; no Python.
 *
 *   ef_engine_config config = {.struct_size = sizeof config, .path = "edgeface-s.efm"};
 *   ef_engine *engine;
 *   if (ef_engine_open(&config, &engine) != EF_OK) return fprintf(stderr, "%s\n", ef_last_error_message()), 1;
 *   ef_face items[32];
 *   ef_faces faces = {.struct_size = sizeof faces, .face_size = sizeof(ef_face), .capacity = 32, .items = items};
 *   if (ef_engine_detect(engine, &image, &faces) == EF_OK) ... faces.count faces, best first ...
 *   ef_engine_close(engine);
 *
 * Three parts, each usable alone:
 *   ef_bundle_*   reads a bundle: input format, strides, scales and network files for a runtime or an NPU of your own
 *   ef_engine_*   preprocessing, ncnn, decoding and tracking behind one call a frame; only in builds with ncnn
 *   ef_tracker_*  stable ids for faces that any runtime found
 *
 * The library holds libedgeface, too (edgeface.h): link this one alone. Its rules hold here: struct_size, 0 means the default, no function
 * throws, a handle serves one thread at a time. Opening allocates; ef_engine_* and ef_tracker_* allocate nothing a frame themselves (ncnn does:
 * some hundred small objects a frame; tensors come from a pool that is full after the first frame). cpp/tests/engine_memory_test.cpp counts both.
 */
#ifndef EDGEFACE_EDGEFACE_ENGINE_H
#define EDGEFACE_EDGEFACE_ENGINE_H

#include <edgeface/edgeface.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why the last failed call of this thread failed, in a sentence: "manifest.decode.rule must be edgeface-v1, but got v9". For calls of this
 * header; for those of edgeface.h use ef_status_string and ef_last_error_field. The string is this thread's and changes with its next failure. */
EF_API const char *ef_last_error_message(void);

/* ---- Bundles ------------------------------------------------------------------------------------------------------------------------ */

typedef struct ef_bundle ef_bundle;

typedef struct ef_bundle_info {
  uint32_t struct_size;
  uint32_t network_count;
  uint32_t level_count;        /* output tensors of each network */
  uint32_t width, height;      /* the input size that the bundle was made for */
  float min_score, nms_iou;    /* for ef_decode_options */
  const char *name, *version, *licence;
} ef_bundle_info;

typedef struct ef_network_info {
  uint32_t struct_size;
  uint32_t width, height;      /* of the input; 0: any, sides multiples of size_multiple */
  uint32_t size_multiple;
  uint32_t output_count;
  const char *format;          /* "onnx", "tflite", "ncnn", "rknn" ... */
  const char *precision;       /* "int8", "float32" */
  const char *target;          /* processor that it was compiled for; "" for none */
  const char *file;            /* for ef_bundle_file */
  const char *weights;         /* second file of formats that have two (ncnn: the .bin); "" for none */
  const char *input_name;
  const char *output_names[EF_MAX_LEVELS];
} ef_network_info;

/* Opens a bundle, reads and checks its manifest. The file form keeps the file open; the memory form reads `data` until ef_bundle_close, so that a
 * bundle may lie in flash. After a failure *bundle is NULL. Fails with NULL, FILE (it cannot be opened), BUNDLE (no zip, damaged, or a manifest with
 * a wrong value, which ef_last_error_field names), TOO_NEW, SIZE (a limit: 4 MiB of manifest, 256 entries), MEMORY. */
EF_API ef_status ef_bundle_open(const char *path, ef_bundle **bundle);
EF_API ef_status ef_bundle_open_memory(const void *data, size_t size, ef_bundle **bundle);

/* Frees the bundle and every pointer that came out of it: strings, channel_scales, files. NULL is allowed. */
EF_API void ef_bundle_close(ef_bundle *bundle);

/* What the manifest says. Strings live until ef_bundle_close. Fails with NULL, STRUCT_SIZE; ef_bundle_network with ARGUMENT (`index`), too. */
EF_API ef_status ef_bundle_describe(const ef_bundle *bundle, ef_bundle_info *info);
EF_API ef_status ef_bundle_network(const ef_bundle *bundle, uint32_t index, ef_network_info *info);

/* The first network of a format, precision and size: a fixed size comes before any size. `format`, `precision`, `target`: NULL for any (precision: int8
 * first; target: none first). `width`, `height`: 0 for any. After a failure *index is as before. Fails with NULL, MISSING. */
EF_API ef_status ef_bundle_find(const ef_bundle *bundle, const char *format, const char *precision, const char *target, uint32_t width,
                                uint32_t height, uint32_t *index);

/* A file of the bundle, unpacked, its sha256 checked against the manifest's. The bytes live until ef_bundle_close, aligned as by malloc, one more
 * byte 0 behind them. After a failure *data is NULL. Fails with NULL, MISSING (no such file in the manifest or in the archive), BUNDLE (damaged, or another sha256),
 * SIZE (more than 128 MiB), MEMORY. */
EF_API ef_status ef_bundle_file(ef_bundle *bundle, const char *name, const void **data, size_t *size);

/* Fills everything of an ef_input but `data`, for a network of the bundle and a size that it takes (0, 0: its own, or the bundle's). After a failure
 * *input is as before. Fails with NULL, STRUCT_SIZE, ARGUMENT (`index`), SIZE. */
EF_API ef_status ef_bundle_input(const ef_bundle *bundle, uint32_t index, uint32_t width, uint32_t height, ef_input *input);

/* Fills everything of the network's outputs but `data` and the steps, in the order of the manifest (ef_network_info.output_names):
 * dtype, layout, stride, columns, rows, scale, zero_point and channel_scales, which live until ef_bundle_close.
 * `count`: in, the room; out, the number. outputs[i].struct_size must be set. Fails as ef_bundle_input, and with ARGUMENT (`count`: too little room). */
EF_API ef_status ef_bundle_outputs(const ef_bundle *bundle, uint32_t index, uint32_t width, uint32_t height, ef_output *outputs,
                                   uint32_t *count);

/* Of a per-face network (docs/bundle.md, rule edgeface-points-v1): fills everything of its EF_POINTS_OUTPUTS outputs but `data`, in the order of the
 * manifest, for ef_decode_points. `margin` may be NULL: for ef_face_crop. outputs[i].struct_size must be set. For a network that finds faces use
 * ef_bundle_outputs; each refuses the other's. Fails with NULL, STRUCT_SIZE, ARGUMENT (`index`, `bundle`). */
EF_API ef_status ef_bundle_points_outputs(const ef_bundle *bundle, uint32_t index, ef_points_output *outputs, float *margin);

/* The bundle's thresholds. Fails with NULL, STRUCT_SIZE. */
EF_API ef_status ef_bundle_decode_options(const ef_bundle *bundle, ef_decode_options *options);

/* ef_decode, after a check that `outputs` are this network's: one for each stride, with the manifest's dtype, scale, zero point and channel scales.
 * Outputs whose channel_scales were forgotten give ARGUMENT and "outputs[i].channel_scales", not wrong faces. `options` may be NULL: the bundle's. */
EF_API ef_status ef_bundle_decode(const ef_bundle *bundle, uint32_t index, ef_context *context, const ef_output *outputs,
                                  uint32_t output_count, const ef_transform *transform, const ef_decode_options *options, ef_faces *faces);

/* Golden vectors (docs/bundle.md): a drawn picture, the input tensor that ef_preprocess must make of it to the bit, and what the network's integer
 * reference makes of that. */
typedef struct ef_golden {
  uint32_t struct_size;
  uint32_t picture_width, picture_height;
  const uint8_t *picture;                     /* RGB, rows without padding */
  uint32_t width, height;                     /* of the network's input */
  const void *input;
  size_t input_size;                          /* bytes */
  uint32_t output_count;
  const void *outputs[EF_MAX_LEVELS];         /* in the manifest's order, dtype and layout, contiguous */
  size_t output_sizes[EF_MAX_LEVELS];         /* bytes */
} ef_golden;

/* The golden vectors of a network; pointers live until ef_bundle_close. Fails with NULL, STRUCT_SIZE, ARGUMENT (`index`), MISSING (the bundle carries none for
 * this network), BUNDLE (they are damaged, or of another network), MEMORY. */
EF_API ef_status ef_bundle_golden(ef_bundle *bundle, uint32_t index, ef_golden *golden);

/* ---- Tracker ------------------------------------------------------------------------------------------------------------------------ */

typedef struct ef_tracker ef_tracker;

typedef struct ef_tracker_config {
  uint32_t struct_size;
  uint32_t min_hits;   /* detections from which on a face is reported; 0: 2 */
  float lost_after;    /* seconds for which an unseen face keeps its id; 0: 1; below 0: none */
  float new_score;     /* least score to begin a track; 0: 0.5 */
  float low_score;     /* least score to continue one; 0: 0.25 */
  float fps;           /* of frames without a time stamp; 0: 30 */
  uint32_t max_faces;  /* the best `max_faces` of a frame are looked at; 0: 64, at most 1024 */
} ef_tracker_config;

typedef struct ef_track {
  ef_face face;          /* as detected in this frame; nothing is smoothed */
  uint32_t id;           /* from 1 on, never used again within a tracker */
  uint32_t hits;         /* frames in which the face was detected */
  int64_t first_seen_ns; /* time stamp of the first of them; where it had none, of the tracker's own count */
} ef_track;

typedef struct ef_tracks {
  uint32_t struct_size;
  uint32_t track_size; /* sizeof(ef_track) of the caller */
  uint32_t capacity;   /* the best `capacity` are given */
  uint32_t count;      /* out */
  ef_track *items;     /* caller's array, filled in descending order of score */
} ef_tracks;

/* Makes a tracker. `config` may be gone afterwards. After a failure *tracker is NULL. Fails with NULL, STRUCT_SIZE, ARGUMENT (a field of config), MEMORY. */
EF_API ef_status ef_tracker_create(const ef_tracker_config *config, ef_tracker **tracker);
EF_API void ef_tracker_destroy(ef_tracker *tracker); /* NULL is allowed */

/* Takes in what was found in the next frame of one camera, faces of low_score and more, best first, and gives those that are reported.
 * `timestamp_ns`: of the frame; 0: none. Frames without one, and with the one of the last frame, count as 1 / fps apart. Whoever was not seen for longer
 * than lost_after ends, also where no frame came; frames that usually lie further apart are no outage. A stamp that lies back by more than 0.2 s is of
 * another clock: all tracks end, ids go on. Prediction, association and time are those of edgeface.tracking.Tracker in Python with its camera motion;
 * smoothing, best shots and frames that are not searched are not there.
 * After a failure tracks->count is 0 and the tracker as before. Fails with NULL, STRUCT_SIZE, ARGUMENT (`timestamp_ns` up to 0.2 s before the last one). */
EF_API ef_status ef_tracker_update(ef_tracker *tracker, const ef_faces *found, int64_t timestamp_ns, ef_tracks *tracks);

/* Ends all tracks and takes any next time stamp, for a new scene. Ids go on. NULL is allowed. */
EF_API void ef_tracker_reset(ef_tracker *tracker);

/* ---- Engine ------------------------------------------------------------------------------------------------------------------------- */

typedef struct ef_engine ef_engine;

typedef enum ef_precision {
  EF_PRECISION_AUTO = 0,    /* float32 where the CPU computes in fp16 or is no ARM, else int8; the other where the bundle has only that */
  EF_PRECISION_INT8 = 1,
  EF_PRECISION_FLOAT32 = 2
} ef_precision;

typedef struct ef_engine_config {
  uint32_t struct_size;
  uint32_t precision;             /* ef_precision */
  const char *path;               /* of the bundle; NULL: it is in memory */
  const void *data;               /* read during ef_engine_open only */
  size_t size;
  uint32_t width, height;         /* of the network's input; 0: the bundle's default */
  uint32_t max_width, max_height; /* largest frame; 0: 1920 x 1920 */
  uint32_t threads;               /* of one inference; 0: 1. More than 1 needs an ncnn with OpenMP */
  float min_score, nms_iou;       /* 0: the bundle's */
  uint32_t isa;                   /* ef_isa, of pre- and postprocessing */
  uint32_t reserved;
  ef_tracker_config tracker;      /* of ef_engine_track; all 0 (struct_size, too): the defaults */
  const char *points_path;        /* bundle of a per-face network, for ef_engine_points; NULL: none, or it is in memory */
  const void *points_data;        /* read during ef_engine_open only */
  size_t points_size;
} ef_engine_config;

typedef struct ef_engine_info {
  uint32_t struct_size;
  uint32_t width, height;         /* of the network's input */
  uint32_t threads;
  uint32_t isa;                   /* ef_isa */
  float min_score, nms_iou;
  const char *model, *version, *licence, *file, *precision; /* as the bundle says */
  const char *runtime;            /* such as "ncnn 1.0.20261020" */
} ef_engine_info;

/* Opens a bundle's ncnn network and runs it once, so that the first frame takes no longer than others. The bundle may be gone afterwards.
 * After a failure *engine is NULL. Fails as ef_bundle_open and ef_create do, and with ARGUMENT (a field of config), MISSING (no ncnn network of this size and
 * precision), RUNTIME (ncnn refuses it), UNSUPPORTED (a build without ncnn). */
EF_API ef_status ef_engine_open(const ef_engine_config *config, ef_engine **engine);
EF_API void ef_engine_close(ef_engine *engine); /* NULL is allowed */

/* What runs. Strings live until ef_engine_close. Fails with NULL, STRUCT_SIZE. */
EF_API ef_status ef_engine_describe(const ef_engine *engine, ef_engine_info *info);

/* Finds the faces of one frame: the best faces->capacity, in pixels of the frame as given. Fails as ef_preprocess and ef_decode do, and with RUNTIME; faces->count
 * is 0 then. */
EF_API ef_status ef_engine_detect(ef_engine *engine, const ef_image *image, ef_faces *faces);

/* ef_engine_detect and ef_tracker_update for the next frame of one camera; image->timestamp_ns drives the motion model. A frame that comes late by up to
 * 0.2 s counts as of the last frame's time. All tracks end at another width, height or rotation of the image. tracks->count is 0 after a failure; the
 * tracks are as before then. */
EF_API ef_status ef_engine_track(ef_engine *engine, const ef_image *image, ef_tracks *tracks);

/* What the per-face network says of a face of this image: of ef_engine_detect's or, as the track's face, of ef_engine_track's. One run a face. After a
 * failure *points is as before. Fails as ef_face_crop, ef_preprocess_face and ef_decode_points do, and with MISSING (the engine was opened without such
 * a network). */
EF_API ef_status ef_engine_points(ef_engine *engine, const ef_image *image, const ef_face *face, ef_points *points);

/* Ends all tracks of the engine. NULL is allowed. */
EF_API void ef_engine_reset_tracks(ef_engine *engine);

/* What ef_engine_verify found. */
typedef struct ef_verdict {
  uint32_t struct_size;
  uint32_t compared;      /* tensors: 1 for the input, and the outputs */
  uint32_t values;        /* of the first tensor that differs: how many there are, */
  uint32_t differing;     /* how many of them differ, */
  float largest;          /* by how much at most, as real numbers, */
  float allowed;          /* and how much was allowed */
  const char *tensor;     /* its name: "input" or an output's; "" where all agree */
} ef_verdict;

/* Runs the bundle's golden picture through this machine's kernels and ncnn and compares: the input tensor to the bit, outputs within what ncnn's kernels
 * differ by. `bundle`: the one that the engine was opened from. EF_OK means that the comparison was made: look at verdict->tensor. verdict->tensor lives
 * until the bundle or the engine is closed. Fails with NULL, STRUCT_SIZE, and as ef_bundle_golden. */
EF_API ef_status ef_engine_verify(ef_engine *engine, ef_bundle *bundle, ef_verdict *verdict);

#ifdef __cplusplus
}
#endif
#endif
