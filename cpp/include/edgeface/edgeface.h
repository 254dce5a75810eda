/* libedgeface: camera frames to network inputs, network outputs to faces.
 *
 * C99, no dependency but the C library. Between ef_preprocess and ef_decode the caller runs any runtime or NPU.
 *
 *   ef_config config = {.struct_size = sizeof config, .max_width = 640, .max_height = 480, .tensor_width = 320, .tensor_height = 240};
 *   ef_context *context;
 *   if (ef_create(&config, &context) != EF_OK) ...
 *   ef_preprocess(context, &image, &input, &transform);
 *   ... run the network ...
 *   ef_decode(context, outputs, 3, &transform, &options, &faces);
 *   ef_destroy(context);
 *
 * Rules that hold everywhere:
 *  - The caller sets struct_size of every struct to its sizeof and zeroes what it does not use: 0 always means the default.
 *  - Nothing is allocated after ef_create; nothing is printed; no function throws. The only state outside of contexts is the name that
 *    ef_last_error_field gives, one for each thread.
 *  - A context serves one thread at a time; different contexts are independent.
 *  - Pointers in structs are read during the call only. A struct may be used for as many calls as its buffers live.
 *  - A call that fails has changed nothing but what its comment says; ef_last_error_field names the argument or field at fault.
 *  - Pixel coordinates are continuous, origin at the top left CORNER of the top left pixel: the centre of that pixel is (0.5, 0.5).
 */
#ifndef EDGEFACE_EDGEFACE_H
#define EDGEFACE_EDGEFACE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define EF_API
#elif defined(__GNUC__)
#define EF_API __attribute__((visibility("default")))
#else
#define EF_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* C lets an enum hold any int, C++ only if it is told so. */
#ifdef __cplusplus
#define EF_ENUM(name) enum name : int
#else
#define EF_ENUM(name) enum name
#endif

#define EF_VERSION_MAJOR 0
#define EF_VERSION_MINOR 1
#define EF_VERSION_PATCH 0

#define EF_MAX_SIDE 16384  /* largest width or height of a frame or a tensor */
#define EF_MAX_LEVELS 8    /* most output tensors of a network */
#define EF_HEAD_CHANNELS 22
#define EF_LANDMARKS 5
#define EF_POINTS 68         /* of the per-face network, in iBUG's order */
#define EF_POINTS_OUTPUTS 5  /* output tensors of that network */

typedef EF_ENUM(ef_status) {
  EF_OK = 0,
  EF_ERROR_NULL = 1,         /* a required pointer is NULL */
  EF_ERROR_STRUCT_SIZE = 2,  /* struct_size is smaller than the library's first version of the struct */
  EF_ERROR_ARGUMENT = 3,     /* a value is outside its range or names nothing */
  EF_ERROR_SIZE = 4,         /* a frame, crop or tensor is empty, too large, or does not fit what ef_create was told */
  EF_ERROR_STRIDE = 5,       /* a row stride is shorter than a row, or a step leads out of the address space */
  EF_ERROR_MEMORY = 6,       /* the allocator returned NULL, or the caller's block is too small or not aligned */
  EF_ERROR_UNSUPPORTED = 7,  /* the CPU lacks the instruction set asked for, or the build what was asked for */
  EF_ERROR_FILE = 8,         /* a file cannot be read (this and what follows, but RUNTIME: edgeface_engine.h) */
  EF_ERROR_BUNDLE = 9,       /* damaged, or no bundle */
  EF_ERROR_TOO_NEW = 10,     /* a bundle for a later version of the library */
  EF_ERROR_MISSING = 11,     /* the bundle does not hold what was asked for */
  EF_ERROR_RUNTIME = 12      /* the inference runtime refused the network or failed */
} ef_status;

typedef EF_ENUM(ef_format) {
  EF_FORMAT_BGR = 1,
  EF_FORMAT_RGB = 2,
  EF_FORMAT_GRAY = 3,
  EF_FORMAT_NV12 = 4, /* Y; interleaved U V at half size */
  EF_FORMAT_NV21 = 5, /* Y; interleaved V U at half size */
  EF_FORMAT_I420 = 6, /* Y; U; V, the last two at half size */
  EF_FORMAT_YUYV = 7, /* Y0 U Y1 V; the width is even */
  EF_FORMAT_UYVY = 8  /* U Y0 V Y1; the width is even */
} ef_format;

typedef EF_ENUM(ef_matrix) { EF_MATRIX_BT601 = 0, EF_MATRIX_BT709 = 1 } ef_matrix;
typedef EF_ENUM(ef_range) { EF_RANGE_LIMITED = 0, EF_RANGE_FULL = 1 } ef_range;
typedef EF_ENUM(ef_fit) { EF_FIT_LETTERBOX = 0, EF_FIT_STRETCH = 1 } ef_fit;
typedef EF_ENUM(ef_filter) {
  EF_FILTER_BILINEAR = 0,
  EF_FILTER_AREA = 1 /* mean over k x k pixels, k = floor(ratio), before the bilinear step: keeps small faces in shrunk frames */
} ef_filter;
typedef EF_ENUM(ef_layout) { EF_LAYOUT_NHWC = 0, EF_LAYOUT_NCHW = 1 } ef_layout;
typedef EF_ENUM(ef_dtype) { EF_DTYPE_INT8 = 0, EF_DTYPE_UINT8 = 1, EF_DTYPE_FLOAT32 = 2 } ef_dtype;
typedef EF_ENUM(ef_color) { EF_COLOR_RGB = 0, EF_COLOR_BGR = 1 } ef_color;
typedef EF_ENUM(ef_isa) { EF_ISA_AUTO = 0, EF_ISA_SCALAR = 1, EF_ISA_NEON = 2, EF_ISA_AVX2 = 3 } ef_isa;

/* What an output of the per-face network says (docs/bundle.md, rule edgeface-points-v1), and how many numbers it has. */
typedef EF_ENUM(ef_points_role) {
  EF_POINTS_PLACE = 0,   /* 136: x, y of each point, in crop sides from the crop's centre */
  EF_POINTS_DEPTH = 1,   /* 68: z away from the camera, in crop sides */
  EF_POINTS_SPREAD = 2,  /* 68: natural log of the Laplace scale of a point's error, in crop sides */
  EF_POINTS_VISIBLE = 3, /* 68: logits */
  EF_POINTS_STATE = 4    /* 9: logits: right eye open, left eye open, mouth open, covered eyes, nose, mouth, mask, glasses, sunglasses */
} ef_points_role;

typedef struct ef_context ef_context;

typedef struct ef_config {
  uint32_t struct_size;
  uint32_t max_width, max_height;       /* largest frame that ef_preprocess will be given */
  uint32_t tensor_width, tensor_height; /* largest input tensor; multiples of 32 for the networks of edgeface */
  uint32_t isa;                         /* ef_isa; AUTO takes the environment variable EDGEFACE_ISA (scalar, neon, avx2), else the best */
  void *memory;                         /* NULL: one block comes from `allocate`; else a block aligned as by malloc */
  size_t memory_size;                   /* of `memory`, at least ef_query_memory */
  void *(*allocate)(void *user, size_t size); /* NULL: malloc; called once, by ef_create */
  void (*release)(void *user, void *block);   /* NULL: free; called once, by ef_destroy */
  void *user;
} ef_config;

typedef struct ef_image {
  uint32_t struct_size;
  uint32_t format; /* ef_format */
  uint32_t width, height;
  const uint8_t *planes[3]; /* first byte of the first row of each plane */
  ptrdiff_t strides[3];     /* bytes from one row to the next; negative for bottom-up frames */
  uint32_t matrix;          /* ef_matrix, ef_range: of YUV formats */
  uint32_t range;
  uint32_t rotation;        /* 0, 90, 180 or 270: degrees clockwise that make the picture upright */
  uint32_t crop[4];         /* x, y, width, height in pixels of the frame; all 0: the whole frame */
  int64_t timestamp_ns;     /* handed through to ef_transform */
} ef_image;

/* The network's input. A pixel p (0..255) stands for the real number (p - 128) / 128. Quantised tensors store
 * round(real / scale) + zero_point (ties to even, saturated), float tensors the real number. The border of a letterbox is real 0. */
typedef struct ef_input {
  uint32_t struct_size;
  uint32_t width, height;
  uint32_t dtype;     /* ef_dtype */
  uint32_t layout;    /* ef_layout; contiguous */
  uint32_t color;     /* ef_color: order of the three channels */
  uint32_t fit;       /* ef_fit */
  uint32_t filter;    /* ef_filter */
  float scale;        /* 0: 1/128 */
  int32_t zero_point;
  void *data;         /* width * height * 3 elements; float tensors aligned to 4 bytes */
} ef_input;

/* frame_x = m[0] * tensor_x + m[1] * tensor_y + m[2]; frame_y = m[3] * tensor_x + m[4] * tensor_y + m[5] */
typedef struct ef_transform {
  uint32_t struct_size;
  uint32_t reserved;
  double m[6];
  int64_t timestamp_ns;
} ef_transform;

/* One output tensor of the network: EF_HEAD_CHANNELS channels for each cell of `stride` pixels. A stored q of channel c
 * is the real number (q - zero_point) * scale * channel_scales[c]; the channels are those of docs/bundle.md, rule edgeface-v1. */
typedef struct ef_output {
  uint32_t struct_size;
  uint32_t dtype;              /* ef_dtype */
  uint32_t layout;             /* ef_layout */
  uint32_t stride;             /* pixels of the input tensor a cell covers in each direction */
  uint32_t columns, rows;
  float scale;                 /* 0: 1 */
  int32_t zero_point;
  const float *channel_scales; /* EF_HEAD_CHANNELS positive numbers, or NULL: all 1 */
  const void *data;
  ptrdiff_t cell_step, row_step, channel_step; /* in elements; all 0: contiguous in `layout` */
} ef_output;

typedef struct ef_decode_options {
  uint32_t struct_size;
  float min_score; /* 0 < min_score < 1, of a face: see `score` */
  float nms_iou;   /* 0 <= nms_iou <= 1: the lower-scored of two boxes goes where their IoU is larger; above .6 into the
                      other's weighted mean, if its cell is of no finer level; above .75 its landmarks, rotation and
                      quality into theirs */
} ef_decode_options;

typedef struct ef_face {
  float box[4];                     /* x1, y1, x2, y2 in pixels of the frame given; may reach past its border */
  float score, quality;             /* 0..1; the odds of the score are the best cell's times the root of half the sum of the scores
                                       of all cells that say this box (docs/bundle.md) */
  float landmarks[EF_LANDMARKS][2]; /* right eye, left eye, nose tip, right and left mouth corner OF THE PERSON */
  float rotation[9];                /* row-major, head to the optical frame (x right, y down, z forward) of the camera as it is mounted,
                                       whatever ef_image.rotation; docs/conventions.md says how to speak of the upright picture */
} ef_face; /* every number is finite */

typedef struct ef_faces {
  uint32_t struct_size;
  uint32_t face_size; /* sizeof(ef_face) of the caller */
  uint32_t capacity;  /* the `capacity` faces are kept whose best cells score highest */
  uint32_t count;     /* out */
  ef_face *items;     /* caller's array, filled in descending order of score */
} ef_faces;

/* The square around a face that the per-face network sees: the head's down axis points down in it, whatever the roll and ef_image.rotation.
 * frame_x = m[0] * x + m[1] * y + m[2]; frame_y = m[3] * x + m[4] * y + m[5], with x and y in crop sides from the crop's centre (-.5 to .5). */
typedef struct ef_crop {
  uint32_t struct_size;
  float face_width; /* pixels of the frame, of the mean face between its jaw points 0 and 16 */
  double m[6];      /* a turn, a scale and a shift, no mirror */
} ef_crop;

/* One output tensor of the per-face network. A stored q is the real number (q - zero_point) * scale. */
typedef struct ef_points_output {
  uint32_t struct_size;
  uint32_t role;  /* ef_points_role */
  uint32_t dtype; /* ef_dtype */
  float scale;    /* 0: 1 */
  int32_t zero_point;
  const void *data; /* as many numbers as the role has, contiguous; floats aligned to 4 bytes */
} ef_points_output;

typedef struct ef_points {
  uint32_t struct_size;
  float points[EF_POINTS][2];   /* x, y in pixels of the frame given */
  float points3d[EF_POINTS][3]; /* face widths, axes of the optical frame of the camera as it is mounted, origin their mean */
  float spread[EF_POINTS];      /* Laplace scale of a point's error, in pixels of the frame given */
  float visible[EF_POINTS];     /* 0..1 */
  float eyes_open[2];           /* 0..1, right and left OF THE PERSON; 1: a ratio of height to width of .30 or more */
  float mouth_open;             /* 0..1; 1: an inner height of .6 of its width or more */
  float cover[6];               /* 0..1: eyes, nose, mouth; mask, glasses, sunglasses */
} ef_points; /* every number is finite */

/* Bytes that ef_create will use for this configuration, exactly; 0 where the configuration is not valid. `memory`, `allocate` and `user` are
 * not looked at. */
EF_API size_t ef_query_memory(const ef_config *config);

/* Sets up a context. `config` may be gone afterwards; `config->memory`, where given, is the context's until ef_destroy.
 * After a failure *context is NULL, and nothing is allocated. Fails with NULL (a pointer; one of `allocate` and `release` alone),
 * STRUCT_SIZE, SIZE (a side is 0 or above EF_MAX_SIDE), ARGUMENT (`isa`), MEMORY (the block is too small or not aligned, the allocator gave
 * none), UNSUPPORTED (`isa`, or what EDGEFACE_ISA names). */
EF_API ef_status ef_create(const ef_config *config, ef_context **context);

/* Gives the context's block to `release`; memory of the caller's stays the caller's. The context must not be in use by another thread, nor used
 * again. NULL is allowed. */
EF_API void ef_destroy(ef_context *context);

/* Crops, resizes, rotates, converts and quantises a frame into the network's input in one pass. `transform` may be NULL; it leads from the
 * tensor to the frame as given. The frame's planes are read, input->data is written, during the call only.
 * After a failure input->data and *transform are as before. Fails with NULL (a pointer, input.data, a plane that the format has), STRUCT_SIZE,
 * ARGUMENT (a value that names nothing, input.scale, a float tensor that is not aligned), SIZE (frame or tensor larger than ef_create was told,
 * an odd width of YUYV, a crop outside the frame), STRIDE. */
EF_API ef_status ef_preprocess(ef_context *context, const ef_image *image, const ef_input *input, ef_transform *transform);

/* Turns raw output tensors into faces, best first. `transform`: of the ef_preprocess call that made the input; NULL: faces are in pixels of the
 * input tensor. `outputs`: any order of strides; output->channel_scales NULL means that all are 1, which is wrong for a network whose bundle has
 * some: ef_bundle_decode (edgeface_engine.h) refuses that.
 * After a failure faces->count is 0 (or as before, where `faces` or `options` is NULL or too small) and `items` are not written. Fails with
 * NULL, STRUCT_SIZE, ARGUMENT (output_count, a member of outputs[i], options.min_score, options.nms_iou, transform.m), SIZE (more cells than a
 * tensor of ef_create's size has). */
EF_API ef_status ef_decode(ef_context *context, const ef_output *outputs, uint32_t output_count, const ef_transform *transform,
                           const ef_decode_options *options, ef_faces *faces);

/* The crop of a face that ef_decode found. `margin`: crop sides a face width, as the bundle of the per-face network says; 0: 1.7.
 * After a failure *crop is as before. Fails with NULL, STRUCT_SIZE, ARGUMENT (a number of `face` that is not finite or beyond a million pixels,
 * an empty box, a margin outside .5 to 8). */
EF_API ef_status ef_face_crop(const ef_face *face, float margin, ef_crop *crop);

/* ef_preprocess for the per-face network: the aligned crop straight from a frame's planes, in one pass. Beyond the frame's border, and in
 * letterboxes, is real 0. Where the crop shrinks the frame by more than 2, each pixel is the mean of several bilinear samples.
 * image->crop and image->rotation are checked and not used: the crop knows which way the head is. input->fit and input->filter likewise.
 * `transform` may be NULL; it leads from the tensor to the frame. After a failure input->data and *transform are as before. Fails as
 * ef_preprocess does, and with ARGUMENT (crop.m: not a turn, scale and shift, or beyond a million pixels; crop.face_width). */
EF_API ef_status ef_preprocess_face(ef_context *context, const ef_image *image, const ef_crop *crop, const ef_input *input, ef_transform *transform);

/* Turns the per-face network's outputs into points in the frame. `outputs`: EF_POINTS_OUTPUTS, each role once, in any order. `crop`: of the
 * ef_preprocess_face call that made the input.
 * After a failure *points is as before. Fails with NULL, STRUCT_SIZE, ARGUMENT (output_count, a member of outputs[i], crop.m,
 * crop.face_width), RUNTIME (outputs[i].data holds a number that is not finite: the network failed). */
EF_API ef_status ef_decode_points(const ef_points_output *outputs, uint32_t output_count, const ef_crop *crop, ef_points *points);

/* The mean face of adults: EF_POINTS times x, y, z in metres, x to the person's left, y down, z to the back of the head, origin between the
 * centres of the eyes, which are .063 m apart. Never NULL. */
EF_API const float *ef_mean_face(void);

/* What a status says, in a few words. A string of the library's; never NULL. */
EF_API const char *ef_status_string(ef_status status);

/* The argument or field that the last failed call of this thread complained about, as C names it: "image.rotation", "outputs[1].scale",
 * "config.isa", of a bundle's manifest as JSON names it: "manifest.models[0].size". "" where no call has failed yet; a call that succeeds
 * leaves it. The string is this thread's and changes with its next failure. */
EF_API const char *ef_last_error_field(void);

/* "MAJOR.MINOR.PATCH" of the library that is linked, which may be newer than EF_VERSION_* of the header. */
EF_API const char *ef_version(void);

/* The instruction set that a context uses; EF_ISA_AUTO for NULL. */
EF_API ef_isa ef_context_isa(const ef_context *context);
EF_API int ef_isa_available(ef_isa isa); /* 1 where this CPU and this build have it */
EF_API const char *ef_isa_name(ef_isa isa); /* "scalar", "neon", "avx2", "auto"; "unknown" for others */

#ifdef __cplusplus
}
#endif
#endif
