/* A librknnrt.so that computes the tiny network of tests/support/tiny.py on the CPU, and holds its caller to the header.
 *
 * The "network" is: "FAKE", then int32: status of rknn_init, width, height, outputs; then for each output int32 stride
 * and 22 floats, its bias. Channel 0 of stride 8 rises with how red the cell is.
 *
 * With -DRKNN_API_H='"rknn_api.h"' the declarations are Rockchip's own; without it they are written down here from that
 * file of rknn-toolkit2 2.3.2, and the sizes below hold for both.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef RKNN_API_H
#include RKNN_API_H
#else
typedef uint64_t rknn_context;
typedef struct { uint32_t n_input, n_output; } rknn_input_output_num;
typedef struct { char api_version[256], drv_version[256]; } rknn_sdk_version;
typedef struct {
    uint32_t index, n_dims, dims[16];
    char name[256];
    uint32_t n_elems, size;
    int fmt, type, qnt_type;
    int8_t fl;
    int32_t zp;
    float scale;
    uint32_t w_stride, size_with_stride;
    uint8_t pass_through;
    uint32_t h_stride;
} rknn_tensor_attr;
typedef struct { uint32_t index; void *buf; uint32_t size; uint8_t pass_through; int type, fmt; } rknn_input;
typedef struct { uint8_t want_float, is_prealloc; uint32_t index; void *buf; uint32_t size; } rknn_output;
#define rknn_init_extend void
#define rknn_run_extend void
#define rknn_output_extend void
#define rknn_query_cmd int
enum { RKNN_QUERY_IN_OUT_NUM = 0, RKNN_QUERY_INPUT_ATTR = 1, RKNN_QUERY_OUTPUT_ATTR = 2, RKNN_QUERY_SDK_VERSION = 5 };
enum { RKNN_TENSOR_FLOAT32 = 0, RKNN_TENSOR_INT8 = 2, RKNN_TENSOR_UINT8 = 3 };
enum { RKNN_TENSOR_NCHW = 0, RKNN_TENSOR_NHWC = 1 };
enum {
    RKNN_ERR_PARAM_INVALID = -5, RKNN_ERR_MODEL_INVALID = -6, RKNN_ERR_CTX_INVALID = -7, RKNN_ERR_INPUT_INVALID = -8,
    RKNN_ERR_OUTPUT_INVALID = -9
};
#endif

_Static_assert(sizeof(rknn_tensor_attr) == 376 && offsetof(rknn_tensor_attr, fmt) == 336, "rknn_tensor_attr");
_Static_assert(sizeof(rknn_input) == 32 && offsetof(rknn_input, type) == 24, "rknn_input");
_Static_assert(sizeof(rknn_output) == 24 && offsetof(rknn_output, buf) == 8, "rknn_output");
_Static_assert(sizeof(rknn_sdk_version) == 512 && sizeof(rknn_input_output_num) == 8, "versions and numbers");

/* What edgeface.runtimes.rknn must agree with: size and offsets of every structure, in the order of its fields. */
#define AT(type, field) (int)offsetof(type, field)
const int fake_layout[] = {
    sizeof(rknn_input_output_num), AT(rknn_input_output_num, n_input), AT(rknn_input_output_num, n_output),
    sizeof(rknn_tensor_attr), AT(rknn_tensor_attr, index), AT(rknn_tensor_attr, n_dims), AT(rknn_tensor_attr, dims),
    AT(rknn_tensor_attr, name), AT(rknn_tensor_attr, n_elems), AT(rknn_tensor_attr, size), AT(rknn_tensor_attr, fmt),
    AT(rknn_tensor_attr, type), AT(rknn_tensor_attr, qnt_type), AT(rknn_tensor_attr, fl), AT(rknn_tensor_attr, zp),
    AT(rknn_tensor_attr, scale), AT(rknn_tensor_attr, w_stride), AT(rknn_tensor_attr, size_with_stride),
    AT(rknn_tensor_attr, pass_through), AT(rknn_tensor_attr, h_stride),
    sizeof(rknn_sdk_version), AT(rknn_sdk_version, api_version), AT(rknn_sdk_version, drv_version),
    sizeof(rknn_input), AT(rknn_input, index), AT(rknn_input, buf), AT(rknn_input, size), AT(rknn_input, pass_through),
    AT(rknn_input, type), AT(rknn_input, fmt),
    sizeof(rknn_output), AT(rknn_output, want_float), AT(rknn_output, is_prealloc), AT(rknn_output, index),
    AT(rknn_output, buf), AT(rknn_output, size),
};
const int fake_layout_length = sizeof fake_layout / sizeof *fake_layout;

/* edgeface.compiling.drivers reads the version out of the file. */
#ifndef FAKE_VERSION
#define FAKE_VERSION "2.5.0"
#endif
const char fake_text[] = "librknnrt version: " FAKE_VERSION " (fake)";

int fake_alive;   /* contexts that were not destroyed */
int fake_run_status; /* of the next rknn_run */

struct fake {
    int width, height, outputs;
    struct { int stride; float bias[22]; } level[8];
    uint8_t *pixels;
    int ran;
};

static struct fake *of(rknn_context context) { return (struct fake *)(uintptr_t)context; }

int rknn_init(rknn_context *context, void *model, uint32_t size, uint32_t flag, rknn_init_extend *extend) {
    int32_t head[4];
    struct fake *made;
    if (size < 20 || memcmp(model, "FAKE", 4)) return RKNN_ERR_MODEL_INVALID;
    if (flag || extend) return RKNN_ERR_PARAM_INVALID;
    memcpy(head, (char *)model + 4, sizeof head);
    if (head[0]) return head[0];
    made = calloc(1, sizeof *made);
    made->width = head[1], made->height = head[2], made->outputs = head[3];
    if (size != 20 + made->outputs * sizeof made->level[0]) return free(made), RKNN_ERR_MODEL_INVALID;
    memcpy(made->level, (char *)model + 20, made->outputs * sizeof made->level[0]);
    made->pixels = malloc((size_t)3 * made->width * made->height);
    *context = (rknn_context)(uintptr_t)made;
    fake_alive++;
    return 0;
}

int rknn_destroy(rknn_context context) {
    free(of(context)->pixels), free(of(context));
    fake_alive--;
    return 0;
}

static int cells(int side, int stride) { return (side + stride - 1) / stride; }

int rknn_query(rknn_context context, rknn_query_cmd command, void *info, uint32_t size) {
    struct fake *fake = of(context);
    rknn_tensor_attr *attr = info;
    if (command == RKNN_QUERY_IN_OUT_NUM && size == sizeof(rknn_input_output_num)) {
        *(rknn_input_output_num *)info = (rknn_input_output_num){1, (uint32_t)fake->outputs};
        return 0;
    }
    if (command == RKNN_QUERY_SDK_VERSION && size == sizeof(rknn_sdk_version)) {
        strcpy(((rknn_sdk_version *)info)->api_version, FAKE_VERSION " (fake@2026-11-30)");
        strcpy(((rknn_sdk_version *)info)->drv_version, "0.9.8");
        return 0;
    }
    if (size != sizeof *attr) return RKNN_ERR_PARAM_INVALID;
    if (command == RKNN_QUERY_INPUT_ATTR && attr->index == 0) {
        const uint32_t dims[4] = {1, (uint32_t)fake->height, (uint32_t)fake->width, 3};
        attr->n_dims = 4, attr->fmt = RKNN_TENSOR_NHWC, attr->type = RKNN_TENSOR_INT8;
        memcpy(attr->dims, dims, sizeof dims);
        return 0;
    }
    if (command == RKNN_QUERY_OUTPUT_ATTR && attr->index < (uint32_t)fake->outputs) {
        int stride = fake->level[attr->index].stride;
        const uint32_t dims[4] = {1, 22, (uint32_t)cells(fake->height, stride), (uint32_t)cells(fake->width, stride)};
        attr->n_dims = 4, attr->fmt = RKNN_TENSOR_NCHW, attr->type = RKNN_TENSOR_INT8;
        memcpy(attr->dims, dims, sizeof dims);
        return 0;
    }
    return RKNN_ERR_PARAM_INVALID;
}

int rknn_inputs_set(rknn_context context, uint32_t count, rknn_input inputs[]) {
    struct fake *fake = of(context);
    const uint32_t bytes = 3u * fake->width * fake->height;
    if (count != 1 || inputs->index || inputs->pass_through || inputs->size != bytes) return RKNN_ERR_INPUT_INVALID;
    if (inputs->type != RKNN_TENSOR_UINT8 || inputs->fmt != RKNN_TENSOR_NHWC) return RKNN_ERR_INPUT_INVALID;
    memcpy(fake->pixels, inputs->buf, bytes);
    return 0;
}

int rknn_run(rknn_context context, rknn_run_extend *extend) {
    int status = fake_run_status;
    fake_run_status = 0;
    of(context)->ran = !status;
    return extend ? RKNN_ERR_PARAM_INVALID : status;
}

/* Mean of red minus green and blue over a cell, -2 … 1. */
static float redness(const struct fake *fake, int x, int y, int stride) {
    float sum = 0;
    for (int j = y; j < y + stride; j++)
        for (int i = x; i < x + stride; i++) {
            const uint8_t *p = fake->pixels + 3 * (j * fake->width + i);
            sum += (float)(p[0] - p[1] - p[2]);
        }
    return sum / (255.0f * stride * stride);
}

int rknn_outputs_get(rknn_context context, uint32_t count, rknn_output outputs[], rknn_output_extend *extend) {
    struct fake *fake = of(context);
    if (extend || count != (uint32_t)fake->outputs || !fake->ran) return RKNN_ERR_OUTPUT_INVALID;
    for (uint32_t k = 0; k < count; k++) {
        int stride = fake->level[k].stride, w = cells(fake->width, stride), h = cells(fake->height, stride);
        float *out = outputs[k].buf;
        if (outputs[k].index != k || !outputs[k].want_float || !outputs[k].is_prealloc) return RKNN_ERR_OUTPUT_INVALID;
        if (outputs[k].size != sizeof(float) * 22 * w * h) return RKNN_ERR_OUTPUT_INVALID;
        for (int c = 0; c < 22; c++)
            for (int i = 0; i < w * h; i++) out[c * w * h + i] = fake->level[k].bias[c];
        for (int i = 0; stride == 8 && i < w * h; i++) out[i] += 20 * redness(fake, i % w * 8, i / w * 8, 8);
    }
    return 0;
}

int rknn_outputs_release(rknn_context context, uint32_t count, rknn_output outputs[]) {
    (void)outputs;
    of(context)->ran = 0;
    return count == (uint32_t)of(context)->outputs ? 0 : RKNN_ERR_OUTPUT_INVALID;
}
