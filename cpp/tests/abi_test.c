/* What an integrator sees: a C99 program, linked by the C compiler, that checks every promise of the header. */
#define _POSIX_C_SOURCE 200112L /* setenv */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <edgeface/edgeface.h>

#define EXPECT(condition)                                                   \
  do {                                                                      \
    if (!(condition)) {                                                     \
      fprintf(stderr, "%s:%d: %s is not so\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                              \
    }                                                                       \
  } while (0)

typedef struct {
  int allocations, releases;
  size_t size;
  int fails;
} counter;

static void *counted_allocate(void *user, size_t size) {
  counter *c = user;
  c->allocations++;
  c->size = size;
  return c->fails ? NULL : malloc(size);
}

static void counted_release(void *user, void *block) {
  counter *c = user;
  c->releases++;
  free(block);
}

static ef_config small_config(void) {
  ef_config config;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.max_width = 64;
  config.max_height = 48;
  config.tensor_width = 32;
  config.tensor_height = 32;
  return config;
}

static void creation(void) {
  ef_config config = small_config();
  ef_context *context = NULL;
  counter count = {0, 0, 0, 0};
  size_t need = ef_query_memory(&config);
  unsigned char *block;
  EXPECT(need > sizeof(void *));
  EXPECT(ef_query_memory(NULL) == 0);

  config.allocate = counted_allocate;
  EXPECT(ef_create(&config, &context) == EF_ERROR_NULL && context == NULL); /* allocate without release */
  config.release = counted_release;
  config.user = &count;
  EXPECT(ef_create(&config, &context) == EF_OK && context != NULL);
  EXPECT(count.allocations == 1 && count.size == need);
  ef_destroy(context);
  EXPECT(count.releases == 1);
  count.fails = 1;
  EXPECT(ef_create(&config, &context) == EF_ERROR_MEMORY && context == NULL);
  EXPECT(count.allocations == 2 && count.releases == 1);

  /* The caller's own memory: exactly as much as was asked for, nothing beyond it touched. */
  config = small_config();
  block = malloc(need + 64);
  EXPECT(block != NULL);
  memset(block, 0x77, need + 64);
  config.memory = block;
  config.memory_size = need - 1;
  EXPECT(ef_create(&config, &context) == EF_ERROR_MEMORY);
  config.memory_size = need;
  EXPECT(ef_create(&config, &context) == EF_OK);
  ef_destroy(context);
  for (size_t i = 0; i < 64; ++i) EXPECT(block[need + i] == 0x77);
  config.memory = block + 1;
  EXPECT(ef_create(&config, &context) == EF_ERROR_MEMORY);
  free(block);

  config = small_config();
  EXPECT(ef_create(NULL, &context) == EF_ERROR_NULL);
  EXPECT(ef_create(&config, NULL) == EF_ERROR_NULL);
  config.struct_size--;
  EXPECT(ef_create(&config, &context) == EF_ERROR_STRUCT_SIZE && ef_query_memory(&config) == 0);
  config = small_config();
  config.max_width = 0;
  EXPECT(ef_create(&config, &context) == EF_ERROR_SIZE && ef_query_memory(&config) == 0);
  config.max_width = EF_MAX_SIDE + 1;
  EXPECT(ef_create(&config, &context) == EF_ERROR_SIZE);
  config = small_config();
  config.isa = 99;
  EXPECT(ef_create(&config, &context) == EF_ERROR_ARGUMENT);
  config.isa = ef_isa_available(EF_ISA_AVX2) ? EF_ISA_NEON : EF_ISA_AVX2; /* no CPU has both */
  EXPECT(ef_create(&config, &context) == EF_ERROR_UNSUPPORTED);
  ef_destroy(NULL);
}

static void forced_isa(void) {
  ef_config config = small_config();
  ef_context *context;
  EXPECT(setenv("EDGEFACE_ISA", "scalar", 1) == 0);
  EXPECT(ef_create(&config, &context) == EF_OK && ef_context_isa(context) == EF_ISA_SCALAR);
  ef_destroy(context);
  EXPECT(setenv("EDGEFACE_ISA", "mmx", 1) == 0);
  EXPECT(ef_create(&config, &context) == EF_ERROR_UNSUPPORTED);
  EXPECT(unsetenv("EDGEFACE_ISA") == 0);
}

typedef struct {
  unsigned char luma[64 * 48], chroma[64 * 24];
  signed char tensor[32 * 32 * 3];
  ef_image image;
  ef_input input;
} frame;

static void fill(frame *f) {
  memset(f, 0, sizeof *f);
  memset(f->luma, 235, sizeof f->luma);
  memset(f->chroma, 128, sizeof f->chroma);
  f->image.struct_size = sizeof f->image;
  f->image.format = EF_FORMAT_NV12;
  f->image.width = 64;
  f->image.height = 48;
  f->image.planes[0] = f->luma;
  f->image.planes[1] = f->chroma;
  f->image.strides[0] = f->image.strides[1] = 64;
  f->image.timestamp_ns = 1234567890123;
  f->input.struct_size = sizeof f->input;
  f->input.width = f->input.height = 32;
  f->input.data = f->tensor;
}

static void preprocessing(void) {
  static frame f;
  ef_config config = small_config();
  ef_context *context;
  ef_transform t;
  memset(&t, 0, sizeof t);
  t.struct_size = sizeof t;
  EXPECT(ef_create(&config, &context) == EF_OK);
  fill(&f);
  EXPECT(ef_preprocess(context, &f.image, &f.input, &t) == EF_OK);
  EXPECT(f.tensor[0] == 0);                      /* the border: real 0 */
  EXPECT(f.tensor[(16 * 32 + 16) * 3] == 127);   /* white */
  EXPECT(t.m[0] == 2 && t.m[4] == 2 && t.m[2] == 0 && t.m[5] == -8 && t.timestamp_ns == 1234567890123);
  EXPECT(ef_preprocess(context, &f.image, &f.input, NULL) == EF_OK);

#define REFUSES(change, status)                                             \
  do {                                                                      \
    fill(&f);                                                               \
    change;                                                                 \
    EXPECT(ef_preprocess(context, &f.image, &f.input, &t) == (status));     \
  } while (0)
  REFUSES(f.image.struct_size = 4, EF_ERROR_STRUCT_SIZE);
  REFUSES(f.input.struct_size = 4, EF_ERROR_STRUCT_SIZE);
  REFUSES(f.image.format = 0, EF_ERROR_ARGUMENT);
  REFUSES(f.image.format = 9, EF_ERROR_ARGUMENT);
  REFUSES(f.image.matrix = 2, EF_ERROR_ARGUMENT);
  REFUSES(f.image.range = 2, EF_ERROR_ARGUMENT);
  REFUSES(f.image.rotation = 45, EF_ERROR_ARGUMENT);
  REFUSES(f.image.rotation = 360, EF_ERROR_ARGUMENT);
  REFUSES(f.image.width = 65, EF_ERROR_SIZE);
  REFUSES(f.image.height = 0, EF_ERROR_SIZE);
  REFUSES(f.image.planes[1] = NULL, EF_ERROR_NULL);
  REFUSES(f.image.strides[0] = 63, EF_ERROR_STRIDE);
  REFUSES(f.image.strides[1] = -63, EF_ERROR_STRIDE);
  REFUSES(f.image.strides[1] = PTRDIFF_MIN, EF_ERROR_STRIDE);
  REFUSES(f.image.strides[0] = PTRDIFF_MAX, EF_ERROR_STRIDE);
  REFUSES(f.image.strides[1] = PTRDIFF_MAX / 8, EF_ERROR_STRIDE);
  REFUSES(f.image.strides[1] = -(PTRDIFF_MAX / 8), EF_ERROR_STRIDE);
  REFUSES(f.image.planes[1] = (const uint8_t *)(UINTPTR_MAX - 64), EF_ERROR_STRIDE); /* wraps around the end of memory */
  REFUSES(f.image.planes[1] = (const uint8_t *)64; f.image.strides[1] = -64, EF_ERROR_STRIDE); /* around its beginning */
  REFUSES(f.image.crop[2] = 65; f.image.crop[3] = 1, EF_ERROR_SIZE);
  REFUSES(f.image.crop[0] = 1; f.image.crop[2] = 64; f.image.crop[3] = 1, EF_ERROR_SIZE);
  REFUSES(f.image.crop[0] = 0xffffffffu; f.image.crop[2] = 2; f.image.crop[3] = 1, EF_ERROR_SIZE);
  REFUSES(f.image.crop[1] = 1, EF_ERROR_SIZE);
  REFUSES(f.image.format = EF_FORMAT_YUYV; f.image.width = 31, EF_ERROR_SIZE);
  REFUSES(f.input.width = 33, EF_ERROR_SIZE);
  REFUSES(f.input.data = NULL, EF_ERROR_NULL);
  REFUSES(f.input.dtype = 3, EF_ERROR_ARGUMENT);
  REFUSES(f.input.layout = 2, EF_ERROR_ARGUMENT);
  REFUSES(f.input.color = 2, EF_ERROR_ARGUMENT);
  REFUSES(f.input.fit = 2, EF_ERROR_ARGUMENT);
  REFUSES(f.input.filter = 2, EF_ERROR_ARGUMENT);
  REFUSES(f.input.scale = -1.0f, EF_ERROR_ARGUMENT);
  REFUSES(t.struct_size = 4, EF_ERROR_STRUCT_SIZE);
  EXPECT(ef_preprocess(NULL, &f.image, &f.input, &t) == EF_ERROR_NULL);
  ef_destroy(context);
}

typedef struct {
  float head[4 * 4 * EF_HEAD_CHANNELS]; /* NHWC, stride 8, a 32 x 32 tensor */
  ef_output output;
  ef_decode_options options;
} network;

static void face_at(network *n, int column, int row, float logit) {
  float *c = n->head + (row * 4 + column) * EF_HEAD_CHANNELS;
  c[0] = logit;
  c[16] = 2.0f; /* any length: the identity */
  c[20] = 3.0f;
}

static void fill_network(network *n) {
  memset(n, 0, sizeof *n);
  for (int i = 0; i < 16; ++i) n->head[i * EF_HEAD_CHANNELS] = -9.0f;
  n->output.struct_size = sizeof n->output;
  n->output.dtype = EF_DTYPE_FLOAT32;
  n->output.stride = 8;
  n->output.columns = n->output.rows = 4;
  n->output.data = n->head;
  n->options.struct_size = sizeof n->options;
  n->options.min_score = 0.5f;
  n->options.nms_iou = 0.45f;
}

static void decoding(void) {
  static network n;
  struct wide { ef_face face; int more; } items[4]; /* a caller whose ef_face has grown */
  ef_faces faces;
  ef_config config = small_config();
  ef_context *context;
  EXPECT(ef_create(&config, &context) == EF_OK);
  memset(&faces, 0, sizeof faces);
  faces.struct_size = sizeof faces;
  faces.face_size = sizeof items[0];
  faces.capacity = 4;
  faces.items = &items[0].face;
  for (int i = 0; i < 4; ++i) items[i].more = 42;

  fill_network(&n);
  EXPECT(ef_decode(context, &n.output, 1, NULL, &n.options, &faces) == EF_OK && faces.count == 0);
  face_at(&n, 1, 2, 1.0f);
  face_at(&n, 3, 0, 2.0f);
  face_at(&n, 0, 0, 0.0f);        /* sigmoid(0) = .5, whose odds, alone, are halved: */
  n.options.min_score = 1.0f / 3; /* exactly that */
  EXPECT(ef_decode(context, &n.output, 1, NULL, &n.options, &faces) == EF_OK && faces.count == 3);
  EXPECT(items[0].face.box[0] == 24 && items[0].face.box[1] == 0 && items[0].face.box[2] == 32 && items[0].face.box[3] == 8);
  EXPECT(items[1].face.landmarks[0][0] == 12 && items[1].face.landmarks[0][1] == 20);
  EXPECT(items[2].face.score == 1.0f / 3 && items[2].face.quality == 0.5f);
  for (int i = 0; i < 9; ++i) EXPECT(items[0].face.rotation[i] == (i % 4 == 0 ? 1.0f : 0.0f));
  for (int i = 0; i < 4; ++i) EXPECT(items[i].more == 42);
  faces.capacity = 1;
  EXPECT(ef_decode(context, &n.output, 1, NULL, &n.options, &faces) == EF_OK && faces.count == 1 && items[0].face.box[0] == 24);
  faces.capacity = 0;
  faces.items = NULL;
  EXPECT(ef_decode(context, &n.output, 1, NULL, &n.options, &faces) == EF_OK && faces.count == 0);
  faces.capacity = 4;
  EXPECT(ef_decode(context, &n.output, 1, NULL, &n.options, &faces) == EF_ERROR_NULL);
  faces.items = &items[0].face;

#define REFUSES_HEAD(change, status)                                                         \
  do {                                                                                       \
    fill_network(&n);                                                                        \
    change;                                                                                  \
    EXPECT(ef_decode(context, &n.output, 1, NULL, &n.options, &faces) == (status));          \
  } while (0)
  REFUSES_HEAD(n.output.struct_size = 1, EF_ERROR_STRUCT_SIZE);
  REFUSES_HEAD(n.options.struct_size = 1, EF_ERROR_STRUCT_SIZE);
  REFUSES_HEAD(n.output.dtype = 3, EF_ERROR_ARGUMENT);
  REFUSES_HEAD(n.output.stride = 0, EF_ERROR_ARGUMENT);
  REFUSES_HEAD(n.output.columns = 0, EF_ERROR_SIZE);
  REFUSES_HEAD(n.output.columns = 100, EF_ERROR_SIZE); /* more cells than ef_create was told of */
  REFUSES_HEAD(n.output.data = NULL, EF_ERROR_NULL);
  REFUSES_HEAD(n.output.scale = -1.0f, EF_ERROR_ARGUMENT);
  REFUSES_HEAD(n.output.row_step = PTRDIFF_MAX, EF_ERROR_STRIDE);
  REFUSES_HEAD(n.output.row_step = PTRDIFF_MAX / 8, EF_ERROR_STRIDE);
  REFUSES_HEAD(n.output.row_step = PTRDIFF_MIN, EF_ERROR_STRIDE);
  REFUSES_HEAD(n.output.cell_step = PTRDIFF_MAX / 3, EF_ERROR_STRIDE);
  REFUSES_HEAD(n.output.channel_step = PTRDIFF_MIN / 21, EF_ERROR_STRIDE);
  REFUSES_HEAD(n.output.row_step = n.output.cell_step = n.output.channel_step = PTRDIFF_MAX / 30, EF_ERROR_STRIDE);
  REFUSES_HEAD(n.options.min_score = 0.0f, EF_ERROR_ARGUMENT);
  REFUSES_HEAD(n.options.min_score = 1.0f, EF_ERROR_ARGUMENT);
  REFUSES_HEAD(n.options.nms_iou = 1.5f, EF_ERROR_ARGUMENT);
  REFUSES_HEAD(faces.face_size = 8, EF_ERROR_STRUCT_SIZE);
  faces.face_size = sizeof items[0];
  fill_network(&n);
  EXPECT(ef_decode(context, &n.output, 0, NULL, &n.options, &faces) == EF_ERROR_ARGUMENT);
  EXPECT(ef_decode(context, &n.output, EF_MAX_LEVELS + 1, NULL, &n.options, &faces) == EF_ERROR_ARGUMENT);

  /* A step that is not used may be anything. */
  n.output.rows = 1;
  n.output.row_step = PTRDIFF_MAX;
  n.output.cell_step = EF_HEAD_CHANNELS;
  n.output.channel_step = 1;
  face_at(&n, 1, 0, 1.0f);
  EXPECT(ef_decode(context, &n.output, 1, NULL, &n.options, &faces) == EF_OK && faces.count == 1);

  /* What leaves is finite: a cell that says more than a float holds is no face, here and in pixels of the frame. */
  for (int channel = 2; channel < 16; ++channel) {
    fill_network(&n);
    face_at(&n, 1, 2, 1.0f);
    face_at(&n, 3, 0, 2.0f);
    n.head[(2 * 4 + 1) * EF_HEAD_CHANNELS + channel] = channel == 4 || channel == 5 ? -3e38f : 3e38f;
    EXPECT(ef_decode(context, &n.output, 1, NULL, &n.options, &faces) == EF_OK && faces.count == 1 && items[0].face.box[0] == 24);
  }
  {
    ef_transform far;
    memset(&far, 0, sizeof far);
    far.struct_size = sizeof far;
    far.m[0] = far.m[4] = 1e38;
    fill_network(&n);
    face_at(&n, 0, 0, 2.0f);
    n.head[4] = n.head[5] = -3.0f; /* its landmarks lie at 4e38 */
    EXPECT(ef_decode(context, &n.output, 1, &far, &n.options, &faces) == EF_OK && faces.count == 0);
    far.m[0] = far.m[4] = 1e300;
    EXPECT(ef_decode(context, &n.output, 1, &far, &n.options, &faces) == EF_OK && faces.count == 0);
  }
  ef_destroy(context);
}

static void names(void) {
  char version[32];
  snprintf(version, sizeof version, "%d.%d.%d", EF_VERSION_MAJOR, EF_VERSION_MINOR, EF_VERSION_PATCH);
  EXPECT(strcmp(ef_version(), version) == 0);
  for (int i = EF_OK; i <= EF_ERROR_UNSUPPORTED; ++i) EXPECT(strcmp(ef_status_string((ef_status)i), "unknown status") != 0);
  EXPECT(strcmp(ef_status_string((ef_status)1000), "unknown status") == 0);
  EXPECT(strcmp(ef_isa_name(EF_ISA_NEON), "neon") == 0);
  EXPECT(ef_isa_available(EF_ISA_SCALAR) && !ef_isa_available((ef_isa)77));
}

/* Each status comes with the field that it is about, and a failed ef_create leaves NULL. */
static void fields(void) {
  ef_config config = small_config();
  ef_context *context = (ef_context *)&config;
  config.tensor_height = 0;
  EXPECT(ef_create(&config, &context) == EF_ERROR_SIZE && !context && !strcmp(ef_last_error_field(), "config.tensor_height"));
  config = small_config();
  config.isa = 99;
  context = (ef_context *)&config;
  EXPECT(ef_create(&config, &context) == EF_ERROR_ARGUMENT && !context && !strcmp(ef_last_error_field(), "config.isa"));
  context = (ef_context *)&config;
  EXPECT(ef_create(NULL, &context) == EF_ERROR_NULL && !context && !strcmp(ef_last_error_field(), "config"));
  config.isa = EF_ISA_AUTO;
  EXPECT(ef_create(&config, &context) == EF_OK);
  EXPECT(!strcmp(ef_last_error_field(), "config")); /* a call that succeeds leaves it */
  static const uint8_t pixels[64 * 48];
  static int8_t tensor[32 * 32 * 3], head[EF_HEAD_CHANNELS];
  ef_image image;
  ef_input input;
  memset(&image, 0, sizeof image);
  memset(&input, 0, sizeof input);
  image.struct_size = sizeof image;
  image.format = EF_FORMAT_GRAY;
  image.width = 64;
  image.height = 48;
  image.planes[0] = pixels;
  image.strides[0] = 64;
  input.struct_size = sizeof input;
  input.width = input.height = 32;
  input.data = tensor;
  EXPECT(ef_preprocess(context, &image, &input, NULL) == EF_OK);
#define WRONG(member, value, status)                                                                        \
  do {                                                                                                      \
    const ef_image good_image = image;                                                                      \
    const ef_input good_input = input;                                                                      \
    member = value;                                                                                         \
    EXPECT(ef_preprocess(context, &image, &input, NULL) == status && !strcmp(ef_last_error_field(), #member)); \
    image = good_image;                                                                                     \
    input = good_input;                                                                                     \
  } while (0)
  WRONG(image.struct_size, 8, EF_ERROR_STRUCT_SIZE);
  WRONG(image.format, 77, EF_ERROR_ARGUMENT);
  WRONG(image.matrix, 9, EF_ERROR_ARGUMENT);
  WRONG(image.range, 9, EF_ERROR_ARGUMENT);
  WRONG(image.rotation, 45, EF_ERROR_ARGUMENT);
  WRONG(image.width, 65, EF_ERROR_SIZE);
  WRONG(image.height, 0, EF_ERROR_SIZE);
  WRONG(input.dtype, 9, EF_ERROR_ARGUMENT);
  WRONG(input.layout, 9, EF_ERROR_ARGUMENT);
  WRONG(input.color, 9, EF_ERROR_ARGUMENT);
  WRONG(input.fit, 9, EF_ERROR_ARGUMENT);
  WRONG(input.filter, 9, EF_ERROR_ARGUMENT);
  WRONG(input.scale, -1, EF_ERROR_ARGUMENT);
  WRONG(input.data, NULL, EF_ERROR_NULL);
  WRONG(input.height, 33, EF_ERROR_SIZE);
  image.strides[0] = 63;
  EXPECT(ef_preprocess(context, &image, &input, NULL) == EF_ERROR_STRIDE && !strcmp(ef_last_error_field(), "image.strides"));
  ef_output outputs[2];
  ef_decode_options options = {sizeof options, 0.5f, 0.3f};
  ef_face item;
  ef_faces faces = {sizeof faces, sizeof(ef_face), 1, 7, &item};
  memset(outputs, 0, sizeof outputs);
  for (int i = 0; i < 2; ++i) {
    outputs[i].struct_size = sizeof outputs[i];
    outputs[i].stride = 32;
    outputs[i].columns = outputs[i].rows = 1;
    outputs[i].data = head;
  }
  outputs[1].scale = -1;
  EXPECT(ef_decode(context, outputs, 2, NULL, &options, &faces) == EF_ERROR_ARGUMENT && faces.count == 0);
  EXPECT(!strcmp(ef_last_error_field(), "outputs[1].scale"));
  options.nms_iou = 2;
  EXPECT(ef_decode(context, outputs, 1, NULL, &options, &faces) == EF_ERROR_ARGUMENT && !strcmp(ef_last_error_field(), "options.nms_iou"));
  EXPECT(ef_decode(context, outputs, 9, NULL, &options, &faces) == EF_ERROR_ARGUMENT && !strcmp(ef_last_error_field(), "output_count"));
  ef_destroy(context);
}

typedef struct {
  ef_face face;
  ef_crop crop;
  float place[2 * EF_POINTS], depth[EF_POINTS], spread[EF_POINTS], state[9];
  int8_t visible[EF_POINTS];
  ef_points_output outputs[EF_POINTS_OUTPUTS];
} one_face;

/* A frontal face at 100 pixels a metre, its eyes' middle at (32, 20). */
static void fill_face(one_face *f) {
  const float *mean = ef_mean_face();
  const int five[5] = {-1, -1, 30, 48, 54};
  memset(f, 0, sizeof *f);
  for (int i = 0; i < 5; ++i) {
    f->face.landmarks[i][0] = 32 + (five[i] < 0 ? (i ? 3.15f : -3.15f) : 100 * mean[3 * five[i]]);
    f->face.landmarks[i][1] = 20 + (five[i] < 0 ? 0 : 100 * mean[3 * five[i] + 1]);
  }
  f->face.rotation[0] = f->face.rotation[4] = f->face.rotation[8] = 1;
  f->face.box[0] = 24;
  f->face.box[1] = 14;
  f->face.box[2] = 40;
  f->face.box[3] = 30.2f; /* the root of its area is 1.05 face widths */
  f->crop.struct_size = sizeof f->crop;
  for (uint32_t i = 0; i < EF_POINTS_OUTPUTS; ++i) {
    f->outputs[i].struct_size = sizeof f->outputs[i];
    f->outputs[i].role = i;
    f->outputs[i].dtype = i == EF_POINTS_VISIBLE ? EF_DTYPE_INT8 : EF_DTYPE_FLOAT32;
  }
  f->outputs[EF_POINTS_PLACE].data = f->place;
  f->outputs[EF_POINTS_DEPTH].data = f->depth;
  f->outputs[EF_POINTS_SPREAD].data = f->spread;
  f->outputs[EF_POINTS_VISIBLE].data = f->visible;
  f->outputs[EF_POINTS_STATE].data = f->state;
  f->outputs[EF_POINTS_VISIBLE].scale = 0.5f;
  f->outputs[EF_POINTS_VISIBLE].zero_point = -128;
  memset(f->visible, -128, sizeof f->visible);
  f->place[0] = 0.25f; /* a quarter of a side right of the centre */
  f->place[3] = -0.5f;
  f->depth[0] = 1;
}

static float apart(double a, double b) { return (float)(a > b ? a - b : b - a); }

static void points(void) {
  static one_face f;
  static frame pixels;
  static ef_points out;
  ef_config config = small_config();
  ef_context *context;
  ef_transform t;
  memset(&t, 0, sizeof t);
  t.struct_size = sizeof t;
  EXPECT(ef_create(&config, &context) == EF_OK);
  fill_face(&f);
  EXPECT(ef_face_crop(&f.face, 0, &f.crop) == EF_OK);
  EXPECT(apart(f.crop.face_width, 15.3316) < 1e-3f);
  EXPECT(apart(f.crop.m[0], 1.5 * 15.3316) < 1e-2f && apart(f.crop.m[1], 0) < 1e-6f && apart(f.crop.m[4], f.crop.m[0]) < 1e-6f);
  EXPECT(apart(f.crop.m[2], 32) < 1e-3f && apart(f.crop.m[5], 25.5) < 1e-3f); /* 55 mm below the eyes */

  fill(&pixels);
  EXPECT(ef_preprocess_face(context, &pixels.image, &f.crop, &pixels.input, &t) == EF_OK);
  EXPECT(pixels.tensor[(16 * 32 + 16) * 3] == 127); /* white: the frame holds the whole crop */
  EXPECT(apart(t.m[0], f.crop.m[0] / 32) < 1e-9f && apart(t.m[2], 32 - f.crop.m[0] / 2) < 1e-3f && t.timestamp_ns == 1234567890123);
  f.crop.m[2] = -1000;
  EXPECT(ef_preprocess_face(context, &pixels.image, &f.crop, &pixels.input, NULL) == EF_OK);
  for (int i = 0; i < 32 * 32 * 3; ++i) EXPECT(pixels.tensor[i] == 0); /* beyond the border: real 0 */

  f.crop.m[0] = f.crop.m[4] = 40;
  f.crop.m[1] = f.crop.m[3] = 0;
  f.crop.m[2] = f.crop.m[5] = 100;
  f.crop.face_width = 20;
  out.struct_size = sizeof out;
  EXPECT(ef_decode_points(f.outputs, EF_POINTS_OUTPUTS, &f.crop, &out) == EF_OK);
  EXPECT(out.points[0][0] == 110 && out.points[0][1] == 100 && out.points[1][0] == 100 && out.points[1][1] == 80);
  EXPECT(apart(out.points3d[0][2], 2 * 67 / 68.0) < 1e-6f && apart(out.points3d[1][2], -2 / 68.0) < 1e-6f);
  EXPECT(apart(out.spread[0], 40) < 1e-4f && out.visible[3] == 0.5f && out.mouth_open == 0.5f && out.cover[5] == 0.5f && out.eyes_open[0] == 0.5f);

#define REFUSES_CROP(change, status, field)                                                                     \
  do {                                                                                                          \
    fill_face(&f);                                                                                              \
    change;                                                                                                     \
    EXPECT(ef_face_crop(&f.face, 0, &f.crop) == (status) && !strcmp(ef_last_error_field(), field));             \
  } while (0)
  REFUSES_CROP(f.crop.struct_size = 4, EF_ERROR_STRUCT_SIZE, "crop.struct_size");
  REFUSES_CROP(f.face.box[2] = 24, EF_ERROR_ARGUMENT, "face.box");
  REFUSES_CROP(f.face.box[0] = -1e30f, EF_ERROR_ARGUMENT, "face.box");
  REFUSES_CROP(f.face.landmarks[3][1] = 1e9f, EF_ERROR_ARGUMENT, "face.landmarks");
  REFUSES_CROP(f.face.rotation[7] = (float)strtod("nan", NULL), EF_ERROR_ARGUMENT, "face.rotation");
  fill_face(&f);
  EXPECT(ef_face_crop(NULL, 0, &f.crop) == EF_ERROR_NULL && ef_face_crop(&f.face, 0, NULL) == EF_ERROR_NULL);
  EXPECT(ef_face_crop(&f.face, 9, &f.crop) == EF_ERROR_ARGUMENT && !strcmp(ef_last_error_field(), "margin"));
  EXPECT(ef_face_crop(&f.face, -1, &f.crop) == EF_ERROR_ARGUMENT);

#define REFUSES_FACE(change, status, field)                                                                     \
  do {                                                                                                          \
    fill(&pixels);                                                                                              \
    fill_face(&f);                                                                                              \
    EXPECT(ef_face_crop(&f.face, 0, &f.crop) == EF_OK);                                                         \
    memset(pixels.tensor, 55, sizeof pixels.tensor);                                                            \
    change;                                                                                                     \
    EXPECT(ef_preprocess_face(context, &pixels.image, &f.crop, &pixels.input, &t) == (status));                 \
    EXPECT(!strcmp(ef_last_error_field(), field) && pixels.tensor[0] == 55);                                    \
  } while (0)
  REFUSES_FACE(f.crop.m[1] = 3, EF_ERROR_ARGUMENT, "crop.m"); /* a shear */
  REFUSES_FACE(f.crop.m[0] = -f.crop.m[0], EF_ERROR_ARGUMENT, "crop.m"); /* a mirror */
  REFUSES_FACE(f.crop.m[5] = 1e300, EF_ERROR_ARGUMENT, "crop.m");
  REFUSES_FACE(memset(f.crop.m, 0, sizeof f.crop.m), EF_ERROR_ARGUMENT, "crop.m");
  REFUSES_FACE(f.crop.face_width = 0, EF_ERROR_ARGUMENT, "crop.face_width");
  REFUSES_FACE(f.crop.struct_size = 8, EF_ERROR_STRUCT_SIZE, "crop.struct_size");
  REFUSES_FACE(pixels.input.height = 16, EF_ERROR_SIZE, "input.height");
  REFUSES_FACE(pixels.input.width = 33, EF_ERROR_SIZE, "input.width");
  REFUSES_FACE(pixels.input.data = NULL, EF_ERROR_NULL, "input.data");
  REFUSES_FACE(pixels.image.strides[1] = 63, EF_ERROR_STRIDE, "image.strides");
  REFUSES_FACE(pixels.image.planes[1] = NULL, EF_ERROR_NULL, "image.planes");
  REFUSES_FACE(t.struct_size = 4, EF_ERROR_STRUCT_SIZE, "transform.struct_size");
  EXPECT(ef_preprocess_face(context, &pixels.image, NULL, &pixels.input, NULL) == EF_ERROR_NULL && !strcmp(ef_last_error_field(), "crop"));
  EXPECT(ef_preprocess_face(NULL, &pixels.image, &f.crop, &pixels.input, NULL) == EF_ERROR_NULL);

#define REFUSES_POINTS(change, status, field)                                                                   \
  do {                                                                                                          \
    fill_face(&f);                                                                                              \
    EXPECT(ef_face_crop(&f.face, 0, &f.crop) == EF_OK);                                                         \
    out.mouth_open = 7;                                                                                         \
    change;                                                                                                     \
    EXPECT(ef_decode_points(f.outputs, EF_POINTS_OUTPUTS, &f.crop, &out) == (status));                          \
    EXPECT(!strcmp(ef_last_error_field(), field) && out.mouth_open == 7);                                       \
  } while (0)
  REFUSES_POINTS(f.outputs[1].struct_size = 4, EF_ERROR_STRUCT_SIZE, "outputs[1].struct_size");
  REFUSES_POINTS(f.outputs[1].role = 0, EF_ERROR_ARGUMENT, "outputs[1].role"); /* twice */
  REFUSES_POINTS(f.outputs[4].role = 5, EF_ERROR_ARGUMENT, "outputs[4].role");
  REFUSES_POINTS(f.outputs[0].dtype = 3, EF_ERROR_ARGUMENT, "outputs[0].dtype");
  REFUSES_POINTS(f.outputs[0].scale = -1, EF_ERROR_ARGUMENT, "outputs[0].scale");
  REFUSES_POINTS(f.outputs[2].data = NULL, EF_ERROR_NULL, "outputs[2].data");
  REFUSES_POINTS(f.outputs[2].data = (const char *)f.spread + 1, EF_ERROR_ARGUMENT, "outputs[2].data");
  REFUSES_POINTS(f.state[8] = (float)strtod("inf", NULL), EF_ERROR_RUNTIME, "outputs[4].data");
  REFUSES_POINTS(f.crop.m[0] = 1e30, EF_ERROR_ARGUMENT, "crop.m");
  REFUSES_POINTS(f.crop.struct_size = 1, EF_ERROR_STRUCT_SIZE, "crop.struct_size");
  fill_face(&f);
  EXPECT(ef_face_crop(&f.face, 0, &f.crop) == EF_OK);
  EXPECT(ef_decode_points(f.outputs, 4, &f.crop, &out) == EF_ERROR_ARGUMENT && !strcmp(ef_last_error_field(), "output_count"));
  EXPECT(ef_decode_points(NULL, 5, &f.crop, &out) == EF_ERROR_NULL && ef_decode_points(f.outputs, 5, &f.crop, NULL) == EF_ERROR_NULL);
  out.struct_size = 8;
  EXPECT(ef_decode_points(f.outputs, 5, &f.crop, &out) == EF_ERROR_STRUCT_SIZE && !strcmp(ef_last_error_field(), "points.struct_size"));
  ef_destroy(context);
}

int main(void) {
  names();
  creation();
  forced_isa();
  preprocessing();
  decoding();
  fields();
  points();
  puts("the C ABI holds");
  return 0;
}
