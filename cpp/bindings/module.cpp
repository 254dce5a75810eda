// edgeface._core: the C library for NumPy. Arrays are read and written in place; the GIL is released while the library works.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "edgeface/edgeface.h"

namespace py = pybind11;

namespace {

[[noreturn]] void must_be(const std::string& name, const std::string& expected, const std::string& got) {
  const py::gil_scoped_acquire held;  // also called while the library works
  const py::object error = py::module_::import("edgeface.errors").attr("must_be")(name, expected, got);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw py::error_already_set();
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const ef_isa isa : {EF_ISA_SCALAR, EF_ISA_NEON, EF_ISA_AVX2})
    if (ef_isa_available(isa)) names.emplace_back(ef_isa_name(isa));
  return names;
}

// Arguments are checked before the call: a status here is a fault of the binding, except for those of memory, of steps that lead out of
// it, and of the environment.
void expect_ok(ef_status status) {
  if (status == EF_ERROR_MEMORY) throw std::bad_alloc();
  if (status == EF_ERROR_STRIDE) must_be("strides", "such that all of the array lies in memory", "an array that does not");
  if (status == EF_ERROR_UNSUPPORTED) {
    std::string names;
    for (const std::string& name : available_isas()) names += (names.empty() ? "" : ", ") + name;
    const char* asked = std::getenv("EDGEFACE_ISA");
    must_be("EDGEFACE_ISA", "one that this CPU and this build have (" + names + ")", std::string("'") + (asked ? asked : "") + "'");
  }
  if (status != EF_OK) throw std::runtime_error(std::string("libedgeface: ") + ef_status_string(status));
}

struct Destroy {
  void operator()(ef_context* context) const { ef_destroy(context); }
};
using Context = std::unique_ptr<ef_context, Destroy>;

// Contexts are kept for the next call of any thread: as many as ran at the same time, each as large as the largest call it served.
class Pool {
 public:
  struct Entry {
    Context context;
    uint32_t size[4];
  };

  Entry take(uint32_t width, uint32_t height, uint32_t tensor_width, uint32_t tensor_height) {
    Entry entry = {nullptr, {width, height, tensor_width, tensor_height}};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!free_.empty()) {
        Entry last = std::move(free_.back());
        free_.pop_back();
        bool fits = true;
        for (int i = 0; i < 4; ++i) {
          fits = fits && last.size[i] >= entry.size[i];
          entry.size[i] = std::max(entry.size[i], last.size[i]);
        }
        if (fits) return last;
      }
    }
    ef_config config = {};
    config.struct_size = sizeof config;
    config.max_width = entry.size[0];
    config.max_height = entry.size[1];
    config.tensor_width = entry.size[2];
    config.tensor_height = entry.size[3];
    ef_context* context = nullptr;
    expect_ok(ef_create(&config, &context));
    entry.context.reset(context);
    return entry;
  }

  void give(Entry entry) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(entry));
  }

 private:
  std::mutex mutex_;
  std::vector<Entry> free_;
};

Pool& pool() {
  static Pool* const instance = new Pool;  // never destroyed: threads may outlive the interpreter's end
  return *instance;
}

struct Name {
  const char* name;
  uint32_t value;
};
constexpr Name kFormats[] = {{"bgr", EF_FORMAT_BGR},   {"rgb", EF_FORMAT_RGB},   {"gray", EF_FORMAT_GRAY}, {"nv12", EF_FORMAT_NV12},
                             {"nv21", EF_FORMAT_NV21}, {"i420", EF_FORMAT_I420}, {"yuyv", EF_FORMAT_YUYV}, {"uyvy", EF_FORMAT_UYVY}};
constexpr Name kLayouts[] = {{"NHWC", EF_LAYOUT_NHWC}, {"NCHW", EF_LAYOUT_NCHW}};
constexpr Name kColors[] = {{"rgb", EF_COLOR_RGB}, {"bgr", EF_COLOR_BGR}};
constexpr Name kFits[] = {{"letterbox", EF_FIT_LETTERBOX}, {"stretch", EF_FIT_STRETCH}};
constexpr Name kFilters[] = {{"bilinear", EF_FILTER_BILINEAR}, {"area", EF_FILTER_AREA}};
constexpr Name kMatrices[] = {{"bt601", EF_MATRIX_BT601}, {"bt709", EF_MATRIX_BT709}};
constexpr Name kRanges[] = {{"limited", EF_RANGE_LIMITED}, {"full", EF_RANGE_FULL}};

template <size_t N>
uint32_t choose(const char* what, const Name (&names)[N], const std::string& name) {
  std::string all;
  for (const Name& n : names) {
    if (name == n.name) return n.value;
    all += (all.empty() ? "" : ", ") + std::string(n.name);
  }
  must_be(what, "one of " + all, "'" + name + "'");
}

std::string shape_text(const py::array& a) { return py::str(a.dtype()).cast<std::string>() + " " + py::str(a.attr("shape")).cast<std::string>(); }

py::array array_of(const py::handle& object, const std::string& what) {
  if (!py::isinstance<py::array>(object)) must_be(what, "a NumPy array", py::str(py::type::of(object).attr("__name__")).cast<std::string>());
  return py::reinterpret_borrow<py::array>(object);
}

template <typename T>
bool holds(const py::array& a) {
  return py::dtype::of<T>().equal(a.dtype());
}

struct PlaneShape {
  py::ssize_t rows, columns, channels;
};

// The array must be (rows, columns, channels), with channels 1 also (rows, columns), or (rows, columns * channels); pixels packed.
void set_plane(ef_image& image, int index, const py::array& a, PlaneShape want) {
  const std::string what = "plane " + std::to_string(index);
  const auto n = a.ndim();
  const bool flat = n == 2 && a.shape(1) == want.columns * want.channels;
  const bool deep = n == 3 && a.shape(1) == want.columns && a.shape(2) == want.channels;
  if (!holds<uint8_t>(a) || !(flat || deep) || a.shape(0) != want.rows) {
    std::string shape = "(" + std::to_string(want.rows) + ", " + std::to_string(want.columns);
    shape += want.channels > 1 ? ", " + std::to_string(want.channels) + ")" : ")";
    must_be(what, "uint8 " + shape, shape_text(a));
  }
  const bool packed = (deep ? (a.strides(2) == 1 || want.channels == 1) && (a.strides(1) == want.channels || want.columns == 1)
                            : (a.strides(1) == 1 || a.shape(1) == 1));
  const py::ssize_t row = want.columns * want.channels;
  const py::ssize_t stride = want.rows == 1 ? row : a.strides(0);
  if (!packed) must_be(what, "packed within a row (strides of rows may be any)", "strides " + py::str(a.attr("strides")).cast<std::string>());
  if (std::abs(stride) < row) must_be(what, "made of rows at least " + std::to_string(row) + " bytes apart", std::to_string(stride));
  image.planes[index] = static_cast<const uint8_t*>(a.data());
  image.strides[index] = stride;
}

std::vector<PlaneShape> plane_shapes(uint32_t format, py::ssize_t w, py::ssize_t h) {
  const py::ssize_t half_w = (w + 1) / 2, half_h = (h + 1) / 2;
  switch (format) {
    case EF_FORMAT_BGR:
    case EF_FORMAT_RGB: return {{h, w, 3}};
    case EF_FORMAT_NV12:
    case EF_FORMAT_NV21: return {{h, w, 1}, {half_h, half_w, 2}};
    case EF_FORMAT_I420: return {{h, w, 1}, {half_h, half_w, 1}, {half_h, half_w, 1}};
    case EF_FORMAT_YUYV:
    case EF_FORMAT_UYVY: return {{h, w, 2}};
    default: return {{h, w, 1}};
  }
}

// The frame; its arrays are kept alive in `kept`.
ef_image image_of(const py::sequence& planes, const std::string& format, int64_t width, int64_t height, const std::string& matrix, const std::string& range,
                  std::vector<py::array>& kept) {
  ef_image image = {};
  image.struct_size = sizeof image;
  image.format = choose("format", kFormats, format);
  image.matrix = choose("matrix", kMatrices, matrix);
  image.range = choose("range", kRanges, range);
  if (width < 1 || width > EF_MAX_SIDE || height < 1 || height > EF_MAX_SIDE)
    must_be("frame size", "1 to " + std::to_string(EF_MAX_SIDE) + " pixels a side", std::to_string(width) + "x" + std::to_string(height));
  if ((image.format == EF_FORMAT_YUYV || image.format == EF_FORMAT_UYVY) && width % 2) must_be("width", "even for " + format, std::to_string(width));
  image.width = static_cast<uint32_t>(width);
  image.height = static_cast<uint32_t>(height);
  const auto shapes = plane_shapes(image.format, width, height);
  if (planes.size() != shapes.size()) must_be("planes", std::to_string(shapes.size()) + " array(s) for " + format, std::to_string(planes.size()));
  for (size_t i = 0; i < shapes.size(); ++i) {
    kept.push_back(array_of(planes[i], "plane " + std::to_string(i)));
    set_plane(image, static_cast<int>(i), kept.back(), shapes[i]);
  }
  return image;
}

// The tensor `out`, which is written in place.
ef_input input_of(const py::array& out, const std::string& layout, const std::string& color, double scale, int64_t zero_point) {
  ef_input input = {};
  input.struct_size = sizeof input;
  input.layout = choose("layout", kLayouts, layout);
  input.color = choose("color", kColors, color);
  const auto n = out.ndim();
  const bool planar = input.layout == EF_LAYOUT_NCHW;
  const py::ssize_t first = n - 3, channels = n < 3 ? 0 : out.shape(planar ? first : n - 1);
  if (n < 3 || n > 4 || channels != 3 || (n == 4 && out.shape(0) != 1))
    must_be("out", planar ? "of shape (3, H, W) or (1, 3, H, W)" : "of shape (H, W, 3) or (1, H, W, 3)", shape_text(out));
  if (!(out.flags() & py::array::c_style)) must_be("out", "C-contiguous", "strides " + py::str(out.attr("strides")).cast<std::string>());
  if (!out.writeable()) must_be("out", "writeable", "a read-only array");
  const py::ssize_t tensor_height = out.shape(planar ? first + 1 : first), tensor_width = out.shape(planar ? first + 2 : first + 1);
  if (tensor_width < 1 || tensor_width > EF_MAX_SIDE || tensor_height < 1 || tensor_height > EF_MAX_SIDE)
    must_be("out", "1 to " + std::to_string(EF_MAX_SIDE) + " pixels a side", shape_text(out));
  input.width = static_cast<uint32_t>(tensor_width);
  input.height = static_cast<uint32_t>(tensor_height);
  if (holds<int8_t>(out))
    input.dtype = EF_DTYPE_INT8;
  else if (holds<uint8_t>(out))
    input.dtype = EF_DTYPE_UINT8;
  else if (holds<float>(out))
    input.dtype = EF_DTYPE_FLOAT32;
  else
    must_be("out", "int8, uint8 or float32", shape_text(out));
  if (!(scale > 0) || !(scale <= 1e6)) must_be("scale", "positive and at most 1e6", std::to_string(scale));
  if (static_cast<float>(scale) == 0) must_be("scale", "at least 1e-45", std::to_string(scale));
  if (zero_point < -1000000 || zero_point > 1000000) must_be("zero_point", "within a million of 0", std::to_string(zero_point));
  input.scale = static_cast<float>(scale);
  input.zero_point = static_cast<int32_t>(zero_point);
  input.data = const_cast<void*>(out.data());
  return input;
}

py::array preprocess(const py::sequence& planes, const std::string& format, int64_t width, int64_t height, const py::array& out, const std::string& layout,
                     const std::string& color, const std::string& fit, int64_t rotation, const py::object& crop, const std::string& matrix,
                     const std::string& range, double scale, int64_t zero_point, const std::string& filter) {
  std::vector<py::array> kept;
  ef_image image = image_of(planes, format, width, height, matrix, range, kept);
  if (rotation != 0 && rotation != 90 && rotation != 180 && rotation != 270) must_be("rotation", "0, 90, 180 or 270", std::to_string(rotation));
  image.rotation = static_cast<uint32_t>(rotation);
  if (!crop.is_none()) {
    const auto c = crop.cast<std::array<int64_t, 4>>();
    if (c[0] < 0 || c[1] < 0 || c[2] < 1 || c[3] < 1 || c[2] > width || c[3] > height || c[0] > width - c[2] || c[1] > height - c[3])
      must_be("crop", "(x, y, width, height) inside " + std::to_string(width) + "x" + std::to_string(height), py::str(crop).cast<std::string>());
    for (int i = 0; i < 4; ++i) image.crop[i] = static_cast<uint32_t>(c[static_cast<size_t>(i)]);
  }
  ef_input input = input_of(out, layout, color, scale, zero_point);
  input.fit = choose("fit", kFits, fit);
  input.filter = choose("filter", kFilters, filter);

  ef_transform transform = {};
  transform.struct_size = sizeof transform;
  {
    const py::gil_scoped_release release;
    Pool::Entry entry = pool().take(image.width, image.height, input.width, input.height);
    const ef_status status = ef_preprocess(entry.context.get(), &image, &input, &transform);
    pool().give(std::move(entry));
    expect_ok(status);
  }
  py::array_t<double> affine({2, 3});
  std::copy(transform.m, transform.m + 6, affine.mutable_data());
  return affine;
}

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

py::array mean_face() {
  py::array_t<float> points({py::ssize_t{EF_POINTS}, py::ssize_t{3}});
  std::copy(ef_mean_face(), ef_mean_face() + 3 * EF_POINTS, points.mutable_data());
  return points;
}

// Crops of n faces: their matrices, and the faces' widths. The matrix of a face that has none is NaN.
py::tuple face_crop(const Floats& landmarks, const Floats& rotations, const Floats& boxes, double margin) {
  const py::ssize_t n = boxes.ndim() > 0 ? boxes.shape(0) : -1;
  if (boxes.ndim() != 2 || boxes.shape(1) != 4) must_be("boxes", "of shape (n, 4)", shape_text(boxes));
  if (landmarks.ndim() != 3 || landmarks.shape(0) != n || landmarks.shape(1) != EF_LANDMARKS || landmarks.shape(2) != 2)
    must_be("landmarks", "of shape (n, 5, 2)", shape_text(landmarks));
  if (rotations.ndim() != 3 || rotations.shape(0) != n || rotations.shape(1) != 3 || rotations.shape(2) != 3)
    must_be("rotations", "of shape (n, 3, 3)", shape_text(rotations));
  if (!(margin >= 0.5 && margin <= 8)) must_be("margin", "from 0.5 to 8", std::to_string(margin));
  py::array_t<double> matrices({n, py::ssize_t{2}, py::ssize_t{3}});
  py::array_t<float> widths(n);
  for (py::ssize_t i = 0; i < n; ++i) {
    ef_face face = {};
    std::copy(boxes.data() + 4 * i, boxes.data() + 4 * i + 4, face.box);
    std::copy(landmarks.data() + 2 * EF_LANDMARKS * i, landmarks.data() + 2 * EF_LANDMARKS * (i + 1), &face.landmarks[0][0]);
    std::copy(rotations.data() + 9 * i, rotations.data() + 9 * i + 9, face.rotation);
    ef_crop crop = {};
    crop.struct_size = sizeof crop;
    const bool found = ef_face_crop(&face, static_cast<float>(margin), &crop) == EF_OK;
    for (int k = 0; k < 6; ++k) matrices.mutable_data()[6 * i + k] = found ? crop.m[k] : std::nan("");
    widths.mutable_data()[i] = found ? crop.face_width : std::nanf("");
  }
  return py::make_tuple(matrices, widths);
}

ef_crop crop_of(const Doubles& matrix, double face_width) {
  ef_crop crop = {};
  crop.struct_size = sizeof crop;
  if (matrix.ndim() != 2 || matrix.shape(0) != 2 || matrix.shape(1) != 3) must_be("crop", "a 2x3 array", shape_text(matrix));
  std::copy(matrix.data(), matrix.data() + 6, crop.m);
  crop.face_width = static_cast<float>(face_width);
  return crop;
}

[[noreturn]] void refuse_crop(const Doubles& matrix) {
  must_be("crop", "a turn, a scale and a shift of at most 16777216 pixels", py::str(matrix).cast<std::string>());
}

py::array preprocess_face(const py::sequence& planes, const std::string& format, int64_t width, int64_t height, const py::array& out, const Doubles& crop,
                          const std::string& layout, const std::string& color, const std::string& matrix, const std::string& range, double scale,
                          int64_t zero_point) {
  std::vector<py::array> kept;
  const ef_image image = image_of(planes, format, width, height, matrix, range, kept);
  const ef_input input = input_of(out, layout, color, scale, zero_point);
  if (input.width != input.height) must_be("out", "a square", shape_text(out));
  const ef_crop square = crop_of(crop, 1);
  ef_transform transform = {};
  transform.struct_size = sizeof transform;
  ef_status status;
  {
    const py::gil_scoped_release release;
    Pool::Entry entry = pool().take(image.width, image.height, input.width, input.height);
    status = ef_preprocess_face(entry.context.get(), &image, &square, &input, &transform);
    pool().give(std::move(entry));
  }
  if (status == EF_ERROR_ARGUMENT) refuse_crop(crop);
  expect_ok(status);
  py::array_t<double> affine({2, 3});
  std::copy(transform.m, transform.m + 6, affine.mutable_data());
  return affine;
}

constexpr Name kRoles[] = {{"points", EF_POINTS_PLACE},
                           {"depth", EF_POINTS_DEPTH},
                           {"spread", EF_POINTS_SPREAD},
                           {"visible", EF_POINTS_VISIBLE},
                           {"state", EF_POINTS_STATE}};

// None where an output holds a number that is not finite.
py::object decode_points(const py::sequence& outputs, const py::sequence& roles, const py::sequence& scales, const py::sequence& zero_points,
                         const Doubles& crop, double face_width) {
  constexpr size_t kCount = EF_POINTS_OUTPUTS;
  constexpr py::ssize_t kLengths[kCount] = {2 * EF_POINTS, EF_POINTS, EF_POINTS, EF_POINTS, 9};
  if (outputs.size() != kCount || roles.size() != kCount || scales.size() != kCount || zero_points.size() != kCount)
    must_be("outputs, roles, scales and zero_points", std::to_string(kCount) + " each", std::to_string(outputs.size()));
  if (!(face_width > 0 && face_width <= 1 << 24)) must_be("face_width", "positive and at most 16777216", std::to_string(face_width));
  ef_points_output raw[kCount] = {};
  std::vector<py::array> kept;
  bool seen[kCount] = {};
  for (size_t i = 0; i < kCount; ++i) {
    const std::string what = "output " + std::to_string(i);
    ef_points_output& o = raw[i];
    o.struct_size = sizeof o;
    o.role = choose("role", kRoles, py::str(roles[i]).cast<std::string>());
    if (seen[o.role]) must_be("roles", "each once", py::str(roles).cast<std::string>());
    seen[o.role] = true;
    kept.push_back(array_of(outputs[i], what));
    const py::array& a = kept.back();
    if (a.size() != kLengths[o.role] || !(a.flags() & py::array::c_style)) must_be(what, std::to_string(kLengths[o.role]) + " contiguous numbers", shape_text(a));
    o.dtype = holds<int8_t>(a) ? EF_DTYPE_INT8 : holds<uint8_t>(a) ? EF_DTYPE_UINT8 : EF_DTYPE_FLOAT32;
    if (o.dtype == EF_DTYPE_FLOAT32 && !holds<float>(a)) must_be(what, "int8, uint8 or float32", shape_text(a));
    if (reinterpret_cast<uintptr_t>(a.data()) % static_cast<uintptr_t>(a.itemsize())) must_be(what, "aligned to its items", "an unaligned array");
    o.data = a.data();
    const double scale = py::float_(scales[i]).cast<double>();
    o.scale = static_cast<float>(scale);
    if (!(o.scale > 0) || o.scale > 1e6f) must_be("scale", "positive and at most 1e6", std::to_string(scale));
    const int64_t zero_point = py::int_(zero_points[i]).cast<int64_t>();
    if (zero_point < INT32_MIN || zero_point > INT32_MAX) must_be("zero_point", "a 32-bit number", std::to_string(zero_point));
    o.zero_point = static_cast<int32_t>(zero_point);
  }
  const ef_crop square = crop_of(crop, face_width);
  ef_points points = {};
  points.struct_size = sizeof points;
  const ef_status status = ef_decode_points(raw, kCount, &square, &points);
  if (status == EF_ERROR_RUNTIME) return py::none();
  if (status == EF_ERROR_ARGUMENT) refuse_crop(crop);
  expect_ok(status);
  const auto array = [](const float* first, std::vector<py::ssize_t> shape) {
    py::array_t<float> a(shape);
    std::copy(first, first + a.size(), a.mutable_data());
    return a;
  };
  const py::ssize_t n = EF_POINTS;
  return py::make_tuple(array(&points.points[0][0], {n, 2}), array(&points.points3d[0][0], {n, 3}), array(points.spread, {n}), array(points.visible, {n}),
                        array(points.eyes_open, {2}), points.mouth_open, array(points.cover, {6}));
}

py::tuple decode(const py::sequence& outputs, const py::sequence& strides, const py::sequence& layouts, const py::sequence& scales, const py::sequence& zero_points,
                 const py::sequence& channel_scales, const py::array_t<double, py::array::c_style | py::array::forcecast>& transform, double min_score,
                 double nms_iou, int64_t max_faces) {
  const size_t count = outputs.size();
  if (count < 1 || count > EF_MAX_LEVELS) must_be("outputs", "1 to " + std::to_string(EF_MAX_LEVELS) + " arrays", std::to_string(count));
  const struct {
    const char* name;
    const py::sequence& values;
  } parallel[] = {{"strides", strides}, {"layouts", layouts}, {"scales", scales}, {"zero_points", zero_points}, {"channel_scales", channel_scales}};
  for (const auto& p : parallel)
    if (p.values.size() != count) must_be(p.name, "as many as the outputs (" + std::to_string(count) + ")", std::to_string(p.values.size()));
  if (transform.ndim() != 2 || transform.shape(0) != 2 || transform.shape(1) != 3) must_be("transform", "a 2x3 array", shape_text(transform));
  if (!(min_score > 0 && min_score < 1)) must_be("min_score", "between 0 and 1", std::to_string(min_score));
  if (!(nms_iou >= 0 && nms_iou <= 1)) must_be("nms_iou", "0 to 1", std::to_string(nms_iou));
  if (max_faces < 1 || max_faces > 100000) must_be("max_faces", "1 to 100000", std::to_string(max_faces));

  std::vector<ef_output> raw(count);
  std::vector<py::array> kept;
  std::vector<std::array<float, EF_HEAD_CHANNELS>> factors(count);
  uint64_t cells = 0;
  for (size_t i = 0; i < count; ++i) {
    const std::string what = "output " + std::to_string(i);
    const py::array a = array_of(outputs[i], what);
    kept.push_back(a);
    ef_output& o = raw[i];
    o.struct_size = sizeof o;
    o.layout = choose("layout", kLayouts, py::str(layouts[i]).cast<std::string>());
    const bool planar = o.layout == EF_LAYOUT_NCHW;
    const py::ssize_t n = a.ndim(), c = n - 3;
    if (n < 3 || n > 4 || (n == 4 && a.shape(0) != 1) || a.shape(planar ? c : n - 1) != EF_HEAD_CHANNELS)
      must_be(what, planar ? "of shape (1, 22, h, w)" : "of shape (1, h, w, 22)", shape_text(a));
    o.dtype = holds<int8_t>(a) ? EF_DTYPE_INT8 : holds<uint8_t>(a) ? EF_DTYPE_UINT8 : EF_DTYPE_FLOAT32;
    if (o.dtype == EF_DTYPE_FLOAT32 && !holds<float>(a)) must_be(what, "int8, uint8 or float32", shape_text(a));
    const py::ssize_t axis_row = planar ? c + 1 : c, axis_column = axis_row + 1, axis_channel = planar ? c : n - 1;
    for (const py::ssize_t axis : {axis_row, axis_column})
      if (a.shape(axis) < 1 || a.shape(axis) > EF_MAX_SIDE) must_be(what, "1 to " + std::to_string(EF_MAX_SIDE) + " cells a side", shape_text(a));
    o.rows = static_cast<uint32_t>(a.shape(axis_row));
    o.columns = static_cast<uint32_t>(a.shape(axis_column));
    const py::ssize_t item = a.itemsize();
    for (const py::ssize_t axis : {axis_row, axis_column, axis_channel})
      if (a.strides(axis) % item) must_be(what, "aligned to its items", "strides " + py::str(a.attr("strides")).cast<std::string>());
    o.row_step = a.strides(axis_row) / item;
    o.cell_step = a.strides(axis_column) / item;
    o.channel_step = a.strides(axis_channel) / item;
    if (reinterpret_cast<uintptr_t>(a.data()) % static_cast<uintptr_t>(item)) must_be(what, "aligned to its items", "an unaligned array");
    o.data = a.data();
    const int64_t stride = py::int_(strides[i]).cast<int64_t>();
    if (stride < 1 || stride > EF_MAX_SIDE) must_be("stride", "1 to " + std::to_string(EF_MAX_SIDE), std::to_string(stride));
    o.stride = static_cast<uint32_t>(stride);
    const double scale = py::float_(scales[i]).cast<double>();
    o.scale = static_cast<float>(scale);
    if (!(o.scale > 0) || !(o.scale < 1e30f)) must_be("scale", "positive and finite", std::to_string(scale));
    const int64_t zero_point = py::int_(zero_points[i]).cast<int64_t>();
    if (zero_point < INT32_MIN || zero_point > INT32_MAX) must_be("zero_point", "a 32-bit number", std::to_string(zero_point));
    o.zero_point = static_cast<int32_t>(zero_point);
    const auto factor = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(channel_scales[i]);
    if (!factor || factor.ndim() != 1 || factor.shape(0) != EF_HEAD_CHANNELS) {
      PyErr_Clear();
      must_be("channel_scales", "22 numbers for each output", py::str(py::type::of(channel_scales[i]).attr("__name__")).cast<std::string>());
    }
    for (size_t k = 0; k < EF_HEAD_CHANNELS; ++k) {
      factors[i][k] = factor.data()[k];
      const float product = o.scale * factors[i][k];
      if (!(product > 0) || !(product < 1e30f)) must_be("channel_scales", "positive and finite", std::to_string(factors[i][k]));
    }
    o.channel_scales = factors[i].data();
    cells += static_cast<uint64_t>(o.rows) * o.columns;
  }

  ef_transform affine = {};
  affine.struct_size = sizeof affine;
  std::copy(transform.data(), transform.data() + 6, affine.m);
  const double* m = affine.m;
  bool finite = true;
  for (int i = 0; i < 6; ++i) finite = finite && m[i] - m[i] == 0;
  if (!finite || !((m[1] == 0 && m[3] == 0 && m[0] * m[4] > 0) || (m[0] == 0 && m[4] == 0 && m[1] * m[3] < 0)))
    must_be("transform", "scales and a turn by a multiple of 90 degrees", py::str(transform).cast<std::string>());
  ef_decode_options options = {};
  options.struct_size = sizeof options;
  options.min_score = static_cast<float>(min_score);
  options.nms_iou = static_cast<float>(nms_iou);
  if (options.min_score <= 0 || options.min_score >= 1) must_be("min_score", "between 0 and 1 in single precision", std::to_string(min_score));

  std::vector<ef_face> items(std::min<uint64_t>(static_cast<uint64_t>(max_faces), cells));
  ef_faces faces = {};
  faces.struct_size = sizeof faces;
  faces.face_size = sizeof(ef_face);
  faces.capacity = static_cast<uint32_t>(items.size());
  faces.items = items.data();
  // A context holds the cells of strides 8, 16 and 32 of its tensor: a square of 8 pixels a cell is enough whatever the strides are.
  const auto side = static_cast<uint32_t>(8 * std::ceil(std::sqrt(static_cast<double>(cells))));
  if (side > EF_MAX_SIDE) must_be("outputs", "at most 4194304 cells", std::to_string(cells));
  {
    const py::gil_scoped_release release;
    Pool::Entry entry = pool().take(1, 1, side, side);
    const ef_status status = ef_decode(entry.context.get(), raw.data(), static_cast<uint32_t>(count), &affine, &options, &faces);
    pool().give(std::move(entry));
    expect_ok(status);
  }

  const auto n = static_cast<py::ssize_t>(faces.count);
  py::array_t<float> boxes({n, py::ssize_t{4}}), scores(n), landmarks({n, py::ssize_t{EF_LANDMARKS}, py::ssize_t{2}});
  py::array_t<float> rotations({n, py::ssize_t{3}, py::ssize_t{3}}), quality(n);
  for (py::ssize_t i = 0; i < n; ++i) {
    const ef_face& f = items[static_cast<size_t>(i)];
    std::copy(f.box, f.box + 4, boxes.mutable_data() + 4 * i);
    std::copy(&f.landmarks[0][0], &f.landmarks[0][0] + 2 * EF_LANDMARKS, landmarks.mutable_data() + 2 * EF_LANDMARKS * i);
    std::copy(f.rotation, f.rotation + 9, rotations.mutable_data() + 9 * i);
    scores.mutable_data()[i] = f.score;
    quality.mutable_data()[i] = f.quality;
  }
  return py::make_tuple(boxes, scores, landmarks, rotations, quality);
}

std::string isa() {
  Pool::Entry entry = pool().take(1, 1, 1, 1);
  const std::string name = ef_isa_name(ef_context_isa(entry.context.get()));
  pool().give(std::move(entry));
  return name;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  using namespace pybind11::literals;
  m.doc() = "Camera frames to network inputs and network outputs to faces, in C++.";
  m.attr("__version__") = ef_version();
  m.def("preprocess", &preprocess, "planes"_a, "format"_a, "width"_a, "height"_a, "out"_a, py::kw_only(), "layout"_a, "color"_a, "fit"_a = "letterbox",
        "rotation"_a = 0, "crop"_a = py::none(), "matrix"_a = "bt601", "range"_a = "limited", "scale"_a = 1.0 / 128, "zero_point"_a = 0,
        "filter"_a = "bilinear");
  m.def("decode", &decode, "outputs"_a, "strides"_a, "layouts"_a, "scales"_a, "zero_points"_a, "channel_scales"_a, "transform"_a, py::kw_only(),
        "min_score"_a, "nms_iou"_a, "max_faces"_a = 256);
  m.def("mean_face", &mean_face);
  m.def("face_crop", &face_crop, "landmarks"_a, "rotations"_a, "boxes"_a, py::kw_only(), "margin"_a = 1.7);
  m.def("preprocess_face", &preprocess_face, "planes"_a, "format"_a, "width"_a, "height"_a, "out"_a, "crop"_a, py::kw_only(), "layout"_a, "color"_a,
        "matrix"_a = "bt601", "range"_a = "limited", "scale"_a = 1.0 / 128, "zero_point"_a = 0);
  m.def("decode_points", &decode_points, "outputs"_a, "roles"_a, "scales"_a, "zero_points"_a, "crop"_a, "face_width"_a);
  m.def("isa", &isa);
  m.def("available_isas", &available_isas);
}
