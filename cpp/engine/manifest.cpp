#include "manifest.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

namespace ef {
namespace {

constexpr int kSchema = 1;
constexpr uint32_t kMaxSide = 8192;
constexpr const char *kRule = "edgeface-v1", *kPointsRule = "edgeface-points-v1";
constexpr const char* kRoles[EF_POINTS_OUTPUTS] = {"points", "depth", "spread", "visible", "state"};  // in the order of ef_points_role
constexpr const char* kState[] = {"eye_right_open", "eye_left_open", "mouth_open", "cover_eyes", "cover_nose",
                                  "cover_mouth",    "mask",          "glasses",    "sunglasses"};
constexpr const char* kLandmarks[EF_LANDMARKS] = {"right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner"};
constexpr const char* kDtypes[] = {"int8", "uint8", "float32"};  // in the order of ef_dtype, ef_layout, ef_color
constexpr const char* kLayouts[] = {"NHWC", "NCHW"};
constexpr const char* kColors[] = {"rgb", "bgr"};

// Reads "0.1.0" and longer; false where it is none.
bool version_of(const std::string& text, long parts[3]) {
  char* end;
  const char* at = text.c_str();
  for (int i = 0; i < 3; ++i) {
    parts[i] = 0;
    if (i && *at != '.') continue;
    at += i > 0;
    if (*at < '0' || *at > '9') return i > 0;
    parts[i] = strtol(at, &end, 10);
    at = end;
  }
  return true;
}

bool newer(const long a[3], const long b[3]) {
  for (int i = 0; i < 3; ++i)
    if (a[i] != b[i]) return a[i] > b[i];
  return false;
}

void check_sdk(const Json& min_sdk) {
  long wanted[3];
  const long have[3] = {EF_VERSION_MAJOR, EF_VERSION_MINOR, EF_VERSION_PATCH};
  if (!version_of(min_sdk.text(), wanted))
    min_sdk.fail("a version such as 0.1.0");
  else if (newer(wanted, have))
    min_sdk.fail((std::string("at most ") + ef_version() + ", which this library is: update it").c_str(), EF_ERROR_TOO_NEW);
}

void size_of(const Json& json, uint32_t* width, uint32_t* height) {
  if (!json.items(2, 2)) return;
  *width = static_cast<uint32_t>(json.item(0).integer(1, kMaxSide));
  *height = static_cast<uint32_t>(json.item(1).integer(1, kMaxSide));
}

std::string sha256_of(const Json& json) {
  const std::string text = json.text(64);
  if (text.size() != 64 || text.find_first_not_of("0123456789abcdef") != std::string::npos) json.fail("64 hexadecimal digits");
  return text;
}

std::string file_name_of(const Json& json) {
  const std::string text = json.text(121);
  const char* allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
  if (text.find_first_not_of(allowed) != std::string::npos || strchr(".-", text.c_str()[0]) || text == "manifest.json")
    json.fail("a file's name without folders");
  return text;
}

Tensor tensor_of(const Json& json, bool row = false) {
  Tensor t;
  t.name = json.get("name").text();
  t.dtype = json.get("dtype").choice(kDtypes);
  t.layout = row ? uint32_t{EF_LAYOUT_NCHW} : json.get("layout").choice(kLayouts);
  t.scale = json.get("scale").number(row ? 1e6 : 1e9);
  t.zero_point = static_cast<int32_t>(json.get("zero_point").integer(-128, 255));
  return t;
}

// The outputs of a per-face network: each role once.
void rows_of(const Json& outputs, Network* n) {
  bool seen[EF_POINTS_OUTPUTS] = {};
  const size_t count = outputs.items(EF_POINTS_OUTPUTS, EF_POINTS_OUTPUTS);
  for (size_t i = 0; i < count; ++i) {
    Tensor t = tensor_of(outputs.item(i), true);
    const Json role = outputs.item(i).get("role");
    t.role = role.choice(kRoles);
    if (seen[t.role]) role.fail("points, depth, spread, visible, state, each once");
    seen[t.role] = true;
    n->outputs.push_back(t);
  }
}

Network network_of(const Json& json, const Manifest& manifest) {
  Network n;
  n.file = {file_name_of(json.get("file")), sha256_of(json.get("sha256"))};
  const Json weights = json.get("weights");
  if (!weights.is_null()) n.weights = {file_name_of(weights.get("file")), sha256_of(weights.get("sha256"))};
  n.format = json.get("format").text(32);
  n.precision = json.get("precision").text(32);
  const Json target = json.get("target");
  if (!target.is_null()) n.target = target.get("name").text(64);
  if (!json.get("size").is_null()) size_of(json.get("size"), &n.width, &n.height);
  n.size_multiple = static_cast<uint32_t>(json.get("size_multiple").integer(1, 1024));
  n.input = tensor_of(json.get("input"));
  n.input.color = json.get("input").get("color").choice(kColors);
  const Json outputs = json.get("outputs");
  if (manifest.margin > 0) {
    rows_of(outputs, &n);
    if (!n.width || n.width != n.height) json.get("size").fail("a square, as a per-face network's is");
    return n;
  }
  const size_t count = outputs.items(manifest.strides.size(), manifest.strides.size());
  std::vector<bool> seen(manifest.strides.size());
  for (size_t i = 0; i < count; ++i) {
    n.outputs.push_back(tensor_of(outputs.item(i)));
    const Json stride = outputs.item(i).get("stride");
    n.outputs[i].stride = static_cast<uint32_t>(stride.integer(1, 256));
    size_t at = 0;
    while (at < seen.size() && manifest.strides[at] != n.outputs[i].stride) ++at;
    if (at == seen.size() || seen[at])
      stride.fail("one of manifest.decode.strides, each once");
    else
      seen[at] = true;
  }
  if (!manifest.strides.empty() && n.size_multiple % manifest.strides[0]) json.get("size_multiple").fail("a multiple of the finest stride");
  if (n.width % n.size_multiple || n.height % n.size_multiple) json.get("size").fail("multiples of size_multiple");
  return n;
}

void points_of(const Json& json, Manifest* m) {
  const Json margin = json.get("margin"), state = json.get("state");
  m->margin = margin.number(8);
  if (m->margin < .4999f) margin.fail("at least .5");
  const size_t count = state.items(sizeof kState / sizeof *kState, sizeof kState / sizeof *kState);
  for (size_t i = 0; i < count; ++i)
    if (state.item(i).text() != kState[i]) state.fail("eye_right_open, eye_left_open, mouth_open, cover_eyes, cover_nose, cover_mouth, mask, glasses, sunglasses");
}

void decode_of(const Json& json, Manifest* m) {
  const Json strides = json.get("strides");
  const size_t count = strides.items(1, EF_MAX_LEVELS);
  for (size_t i = 0; i < count; ++i) {
    m->strides.push_back(static_cast<uint32_t>(strides.item(i).integer(1, 256)));
    if (i && m->strides[i] <= m->strides[i - 1]) strides.fail("rising");
    const Json scales = json.get("channel_scale").get(std::to_string(m->strides[i]).c_str());
    m->channel_scales.emplace_back();
    const size_t channels = scales.items(EF_HEAD_CHANNELS, EF_HEAD_CHANNELS);
    for (size_t c = 0; c < channels; ++c) m->channel_scales[i][c] = scales.item(c).number(1e6);
  }
  m->min_score = json.get("min_score").number(0.9999);
  m->nms_iou = json.get("nms_iou").number(0.9999);
}

}  // namespace

bool Network::serves(uint32_t w, uint32_t h) const {
  if (width) return width == w && height == h;
  return w && h && w <= kMaxSide && h <= kMaxSide && w % size_multiple == 0 && h % size_multiple == 0;
}

const float* Manifest::channel_scales_of(uint32_t stride) const {
  for (size_t i = 0; i < strides.size(); ++i)
    if (strides[i] == stride) return channel_scales[i].data();
  return nullptr;
}

ef_status Manifest::parse(const char* text, size_t size) {
  rapidjson::Document document;
  // iterative: a million brackets must not use up the stack
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(text, size);
  if (document.HasParseError())
    return refuse(EF_ERROR_BUNDLE, "manifest", "JSON, but got something else at byte %zu", document.GetErrorOffset());
  ef_status status = EF_OK;
  const Json top(&document, "manifest", &status);
  // versions come first: a newer manifest may be laid out differently, and then "too new" is the true complaint
  const Json schema = top.get("schema");
  if (schema.integer(1, INT32_MAX) > kSchema) schema.fail("at most 1: update edgeface", EF_ERROR_TOO_NEW);
  check_sdk(top.get("min_sdk"));
  const Json rule = top.get("decode").get("rule");
  const bool points = rule.text() == kPointsRule;
  if (!points && rule.text() != kRule) rule.fail("edgeface-v1 or edgeface-points-v1: update edgeface", EF_ERROR_TOO_NEW);
  if (status != EF_OK) return status;
  if (!points) {
    const Json landmarks = top.get("landmarks");
    for (size_t i = 0; i < landmarks.items(EF_LANDMARKS, EF_LANDMARKS); ++i)
      if (landmarks.item(i).text() != kLandmarks[i]) landmarks.fail("right_eye, left_eye, nose_tip, right_mouth_corner, left_mouth_corner");
    if (top.get("pose").get("rotation").text() != "head_to_camera_optical") top.get("pose").get("rotation").fail("head_to_camera_optical");
  }
  name = top.get("name").text();
  version = top.get("version").text();
  licence = top.get("licence").text();
  size_of(top.get("default_size"), &width, &height);
  if (points)
    points_of(top.get("decode"), this);
  else
    decode_of(top.get("decode"), this);
  const Json models = top.get("models");
  const size_t count = models.items(1, 64);
  for (size_t i = 0; i < count && status == EF_OK; ++i) networks.push_back(network_of(models.item(i), *this));
  return status;
}

}  // namespace ef
