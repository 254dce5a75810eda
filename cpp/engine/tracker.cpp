#include "tracker.h"

#include <math.h>

#include <algorithm>

#include "message.h"

namespace ef {
namespace {

constexpr double kShortest = 1e-3, kLongest = 1.0;
constexpr uint64_t kDisorder = 200'000'000;       // ns; a stamp that lies back by more is of another clock
constexpr uint64_t kLongestGap = uint64_t{1} << 55;  // a year: the own line must not overflow, whatever the stamps are
constexpr double kPauses = 2;
constexpr double kAlike = 0.2, kAlikeLow = 0.4;
constexpr double kPans = 0.5, kPannedS = 1.0;
constexpr double kSpread = 6.0, kDrift = 2.0, kFarthest = 4.0;
constexpr double kLandmarkScale = 0.3;
constexpr double kLostIsLess = 0.9;  // a track that was just seen comes before one that may be anywhere by now

uint64_t apart(int64_t before, int64_t after) { return static_cast<uint64_t>(after) - static_cast<uint64_t>(before); }

float area(const float* b) { return std::max(b[2] - b[0], 0.0f) * std::max(b[3] - b[1], 0.0f); }

// 0 to 1: the mean of IoU and closeness of landmarks (edgeface/tracking/association.py).
double similarity(const float* a, const float la[EF_LANDMARKS][2], const float* b, const float lb[EF_LANDMARKS][2], double reach) {
  const float w = std::min(a[2], b[2]) - std::max(a[0], b[0]), h = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  const double inter = static_cast<double>(std::max(w, 0.0f) * std::max(h, 0.0f)), area_a = area(a), area_b = area(b);
  const double ratio = sqrt(std::max(area_a, 1e-9) / std::max(area_b, 1e-9));
  if (!(ratio > 0.5 && ratio < 2)) return 0;
  float apart = 0;
  for (int i = 0; i < EF_LANDMARKS; ++i) apart += sqrtf((la[i][0] - lb[i][0]) * (la[i][0] - lb[i][0]) + (la[i][1] - lb[i][1]) * (la[i][1] - lb[i][1]));
  const double distance = static_cast<double>(apart / EF_LANDMARKS) / std::max(sqrt(std::max(area_a, area_b)), 1e-9);
  const double off = distance / (kLandmarkScale * reach);
  const double alike = (inter / std::max(area_a + area_b - inter, 1e-9) + exp(-off * off)) / 2;
  return isfinite(alike) ? alike : 0;
}

bool usable(const ef_face& face) {
  const float* numbers[] = {face.box, face.landmarks[0], face.rotation};
  const int counts[] = {4, 2 * EF_LANDMARKS, 9};
  for (int k = 0; k < 3; ++k)
    for (int i = 0; i < counts[k]; ++i)
      if (!isfinite(numbers[k][i])) return false;
  return face.box[2] > face.box[0] && face.box[3] > face.box[1];
}

}  // namespace

bool FrameClock::is_another(int64_t stamp) const { return goes_back(stamp) && apart(stamp, stamp_) > kDisorder; }

double FrameClock::advance(int64_t stamp) {
  uint64_t step = nominal_ns;
  if (stamp != 0 && stamped_ && stamp > stamp_) {
    const uint64_t since = std::min(apart(stamp_, stamp), kLongestGap), counted = now - stamped_at_;  // frames without stamps in between
    step = since > counted ? since - counted : since;
  }
  now += step;
  if (stamp != 0 && !(stamped_ && stamp == stamp_)) stamped_ = true, stamp_ = stamp, stamped_at_ = now;
  return std::min(std::max(static_cast<double>(step) / 1e9, kShortest), kLongest);
}

int64_t Timeline::time_of(int64_t stamp) {
  if (stamp != 0 && (last_ == 0 || stamp > last_ || apart(stamp, last_) > kDisorder)) last_ = stamp;
  return stamp == 0 ? 0 : last_;
}

double Pauses::median(double otherwise) const {
  const size_t n = std::min(count_, kKept);
  if (!n) return otherwise;
  uint64_t sorted[kKept];
  std::copy(kept_, kept_ + n, sorted);
  std::sort(sorted, sorted + n);
  return (static_cast<double>(sorted[(n - 1) / 2]) + static_cast<double>(sorted[n / 2])) / 2;
}

double Track::reach(uint64_t now) const {
  const double drift = missed ? kDrift * unseen_s(now) : 0;
  return std::min(1.0 + kSpread * motion.uncertainty() + drift, kFarthest);
}

void Track::landmarks(float out[EF_LANDMARKS][2]) const {
  const float *old = face.box, *box = motion.box();
  for (int axis = 0; axis < 2; ++axis) {
    const float scale = (box[2 + axis] - box[axis]) / std::max(old[2 + axis] - old[axis], 1e-6f);
    for (int i = 0; i < EF_LANDMARKS; ++i) out[i][axis] = (face.landmarks[i][axis] - old[axis]) * scale + box[axis];
  }
}

}  // namespace ef

using ef::Track;

ef_tracker::ef_tracker(const ef_tracker_config& c) : config(c), clock(c.fps) {
  const size_t n = c.max_faces, rows = 2 * n;  // as many lost ones as seen ones
  tracks_.reserve(rows);
  faces_.reserve(n);
  pairs_.reserve(n);
  for (auto* v : {&rows_, &good_, &low_}) v->reserve(rows);
  alike_.reserve(rows * n);
  before_.reserve(rows);
  after_.reserve(rows);
  scratch_.a.reserve(n * n);
  scratch_.b.reserve(5 * n);
  scratch_.ways.reserve(2 * rows * n);
  scratch_.order.reserve(rows);
  scratch_.possible.reserve(rows * n);
  scratch_.rows.reserve(rows);
  scratch_.columns.reserve(n);
}

void ef_tracker::reset() {
  tracks_.clear();
  clock.reset();
  pauses_.reset();
  scene_ = {};
  panning_ = searched_ = false;
}

// To the time of the next frame, before anything is paired: whoever was not seen for too long ends here, and everybody where the frame is of
// another scene or clock (Tracker._go_on).
double ef_tracker::go_on(int64_t timestamp_ns, const ef::Scene& scene) {
  const bool known = scene.width && scene_.width;
  if (clock.is_another(timestamp_ns) || (known && (scene.width != scene_.width || scene.height != scene_.height || scene.rotation != scene_.rotation)))
    reset();
  const double dt = clock.advance(timestamp_ns);
  if (scene.width) scene_ = scene;
  const double pause = pauses_.median(static_cast<double>(clock.nominal_ns)) / 1e9, lost_after = static_cast<double>(config.lost_after);
  const double seen_lately = std::max(lost_after, ef::kPauses * pause);
  const auto over = [&](const Track& track) { return track.unseen_s(clock.now) > (track.missed ? lost_after : seen_lately); };
  tracks_.erase(std::remove_if(tracks_.begin(), tracks_.end(), over), tracks_.end());
  if (searched_) pauses_.add(clock.now - searched_at_);
  searched_ = true;
  searched_at_ = clock.now;
  return dt;
}

void ef_tracker::take(const ef_faces& found) {
  faces_.clear();
  for (uint32_t i = 0; i < found.count && faces_.size() < config.max_faces; ++i) {
    const auto* at = reinterpret_cast<const unsigned char*>(found.items) + static_cast<size_t>(i) * found.face_size;
    const ef_face& face = *reinterpret_cast<const ef_face*>(at);
    if (face.score >= config.low_score && ef::usable(face)) faces_.push_back(face);
  }
  good_.clear();
  low_.clear();
  for (size_t i = 0; i < faces_.size(); ++i) (faces_[i].score >= config.new_score ? good_ : low_).push_back(i);
}

void ef_tracker::pair(const std::vector<size_t>& tracks, const std::vector<size_t>& faces, double threshold, const double jerk[2]) {
  const size_t n = tracks.size(), m = faces.size();
  alike_.assign(n * m, 0);
  const float jerk_x = static_cast<float>(jerk[0]), jerk_y = static_cast<float>(jerk[1]);
  for (size_t i = 0; i < n; ++i) {
    const Track& track = tracks_[tracks[i]];
    float box[4], points[EF_LANDMARKS][2];
    track.landmarks(points);
    for (int k = 0; k < 4; ++k) box[k] = track.motion.box()[k] + (k % 2 ? jerk_y : jerk_x);
    for (auto& p : points) p[0] += jerk_x, p[1] += jerk_y;
    const double reach = track.reach(clock.now);
    for (size_t j = 0; j < m; ++j) {
      const ef_face& face = faces_[faces[j]];
      alike_[i * m + j] = ef::similarity(box, points, face.box, face.landmarks, reach) * (track.missed ? ef::kLostIsLess : 1);
    }
  }
  while (!alike_.empty()) {
    const size_t best = static_cast<size_t>(std::max_element(alike_.begin(), alike_.end()) - alike_.begin());
    if (alike_[best] < threshold) break;
    const size_t row = best / m, column = best % m;
    pairs_.push_back({tracks[row], faces[column]});
    tracks_[tracks[row]].taken = true;
    for (size_t j = 0; j < m; ++j) alike_[row * m + j] = -1;
    for (size_t i = 0; i < n; ++i) alike_[i * m + column] = -1;
  }
}

void ef_tracker::follow_camera(double since) {
  before_.clear();
  after_.clear();
  size_t standing = 0, one = 0;
  for (const Pair& p : pairs_) {
    const Track& track = tracks_[p.track];
    if (track.missed) continue;
    if (track.motion.stands()) ++standing, one = before_.size();
    before_.push_back(track.face.box);
    after_.push_back(faces_[p.face].box);
  }
  ef::CameraMotion camera;
  bool moved = ef::camera_motion(before_, after_, scratch_, &camera);
  if (moved) {
    if (ef::travelled(camera, before_, scratch_) > ef::kPans * since) panning_ = true, panned_ = clock.now;
  } else if (standing == 1 && panning_ && static_cast<double>(clock.now - panned_) / 1e9 <= ef::kPannedS) {
    moved = ef::lone_motion(before_[one], after_[one], &camera);
  }
  for (const Pair& p : pairs_) {
    Track& track = tracks_[p.track];
    track.motion.correct(faces_[p.face].box);
    track.face = faces_[p.face];
    ++track.hits;
    track.missed = false;
    track.last_seen = clock.now;
  }
  for (Track& track : tracks_) {
    if (!track.taken) {
      if (!track.missed) track.motion.lose();
      track.missed = true;
    }
    if (moved) track.motion.ride(camera, since, !track.missed);
  }
}

void ef_tracker::bury() {
  const auto over = [this](const Track& track) {
    if (!track.confirmed()) return track.missed;
    return track.unseen_s(clock.now) > static_cast<double>(config.lost_after);
  };
  tracks_.erase(std::remove_if(tracks_.begin(), tracks_.end(), over), tracks_.end());
}

void ef_tracker::update(const ef_faces& found, int64_t timestamp_ns, const ef::Scene& scene, ef_tracks& tracks) {
  const double dt = go_on(timestamp_ns, scene);
  take(found);
  uint64_t last = 0;
  for (Track& track : tracks_) {
    track.motion.predict(dt, track.missed);
    track.taken = false;
    last = std::max(last, track.last_seen);
  }
  double jerk[2];
  before_.clear();
  after_.clear();
  for (const Track& track : tracks_)
    if (!track.missed) before_.push_back(track.motion.box());
  for (const size_t i : good_) after_.push_back(faces_[i].box);
  ef::common_shift(before_, after_, scratch_, jerk);

  pairs_.clear();
  rows_.clear();
  for (size_t i = 0; i < tracks_.size(); ++i) rows_.push_back(i);
  pair(rows_, good_, ef::kAlike, jerk);
  rows_.clear();
  for (size_t i = 0; i < tracks_.size(); ++i)
    if (!tracks_[i].taken && tracks_[i].confirmed()) rows_.push_back(i);
  pair(rows_, low_, ef::kAlikeLow, jerk);

  follow_camera(std::max(static_cast<double>(clock.now - last) / 1e9, 1e-3));
  for (const Pair& p : pairs_) faces_[p.face].score = -faces_[p.face].score;  // has a track: a mark that costs no memory
  bury();
  for (const size_t i : good_)
    if (faces_[i].score > 0 && tracks_.size() < tracks_.capacity()) {
      tracks_.emplace_back(faces_[i], clock.now, timestamp_ns ? timestamp_ns : static_cast<int64_t>(clock.now));
      tracks_.back().taken = true;
    }
  // New ids by falling score, which is the order of the faces.
  rows_.clear();
  for (size_t i = 0; i < tracks_.size(); ++i)
    if (tracks_[i].taken && !tracks_[i].confirmed() && tracks_[i].hits >= config.min_hits) rows_.push_back(i);
  std::sort(rows_.begin(), rows_.end(), [this](size_t a, size_t b) {
    return tracks_[a].face.score != tracks_[b].face.score ? tracks_[a].face.score > tracks_[b].face.score : a < b;
  });
  for (const size_t i : rows_) tracks_[i].id = next_id_++;
  report(tracks);
}

void ef_tracker::report(ef_tracks& out) const {
  // by falling score, of equal ones the older first; insertion keeps the best `capacity`
  for (const Track& track : tracks_) {
    if (!track.taken || !track.confirmed()) continue;
    ef_track item = {track.face, track.id, track.hits, track.first_stamp};
    uint32_t at = out.count < out.capacity ? out.count++ : out.count;
    const auto slot = [&out](uint32_t i) -> ef_track& {
      return *reinterpret_cast<ef_track*>(reinterpret_cast<unsigned char*>(out.items) + static_cast<size_t>(i) * out.track_size);
    };
    const auto before = [](const ef_track& a, const ef_track& b) {
      return a.face.score != b.face.score ? a.face.score > b.face.score : a.id < b.id;
    };
    if (at == out.count) {  // full
      if (!at || !before(item, slot(at - 1))) continue;
      --at;
    }
    for (; at > 0 && before(item, slot(at - 1)); --at) slot(at) = slot(at - 1);
    slot(at) = item;
  }
}

extern "C" {

ef_status ef_tracker_create(const ef_tracker_config* config, ef_tracker** tracker) {
  using ef::refuse;
  if (tracker) *tracker = nullptr;
  if (!config || !tracker) return refuse(EF_ERROR_NULL, config ? "tracker" : "config", "a pointer, but got NULL");
  if (config->struct_size < sizeof *config) return refuse(EF_ERROR_STRUCT_SIZE, "config.struct_size", "sizeof(ef_tracker_config)");
  ef_tracker_config c = *config;
  if (!c.min_hits) c.min_hits = 2;
  if (c.lost_after == 0) c.lost_after = 1;
  if (c.new_score == 0) c.new_score = 0.5f;
  if (c.low_score == 0) c.low_score = 0.25f;
  if (c.fps == 0) c.fps = 30;
  if (!c.max_faces) c.max_faces = 64;
  if (!isfinite(c.lost_after)) return refuse(EF_ERROR_ARGUMENT, "config.lost_after", "a number of seconds");
  if (c.lost_after < 0) c.lost_after = 0;
  if (!(c.new_score > 0 && c.new_score < 1)) return refuse(EF_ERROR_ARGUMENT, "config.new_score", "between 0 and 1, but got %g", c.new_score);
  if (!(c.low_score > 0 && c.low_score < 1)) return refuse(EF_ERROR_ARGUMENT, "config.low_score", "between 0 and 1, but got %g", c.low_score);
  if (!(c.fps > 0 && c.fps < 1e6f)) return refuse(EF_ERROR_ARGUMENT, "config.fps", "above 0 frames a second, but got %g", c.fps);
  if (c.max_faces > 1024) return refuse(EF_ERROR_ARGUMENT, "config.max_faces", "at most 1024, but got %u", c.max_faces);
  return ef::guarded([&]() -> ef_status { return *tracker = new ef_tracker(c), EF_OK; });
}

void ef_tracker_destroy(ef_tracker* tracker) { delete tracker; }

ef_status ef_tracker_update(ef_tracker* tracker, const ef_faces* found, int64_t timestamp_ns, ef_tracks* tracks) {
  return ef::track(tracker, found, timestamp_ns, {}, tracks);
}

void ef_tracker_reset(ef_tracker* tracker) {
  if (tracker) tracker->reset();
}

}  // extern "C"

ef_status ef::track(ef_tracker* tracker, const ef_faces* found, int64_t timestamp_ns, const Scene& scene, ef_tracks* tracks) {
  if (tracks && tracks->struct_size >= sizeof *tracks) tracks->count = 0;
  if (!tracker || !found || !tracks)
    return refuse(EF_ERROR_NULL, !tracker ? "tracker" : !found ? "found" : "tracks", "a pointer, but got NULL");
  if (found->struct_size < sizeof *found) return refuse(EF_ERROR_STRUCT_SIZE, "found.struct_size", "sizeof(ef_faces)");
  if (found->face_size < sizeof(ef_face) || found->face_size % alignof(ef_face))
    return refuse(EF_ERROR_STRUCT_SIZE, "found.face_size", "sizeof(ef_face)");
  if (tracks->struct_size < sizeof *tracks) return refuse(EF_ERROR_STRUCT_SIZE, "tracks.struct_size", "sizeof(ef_tracks)");
  if (tracks->track_size < sizeof(ef_track) || tracks->track_size % alignof(ef_track))
    return refuse(EF_ERROR_STRUCT_SIZE, "tracks.track_size", "sizeof(ef_track)");
  if (found->count && !found->items) return refuse(EF_ERROR_NULL, "found.items", "a pointer, but got NULL");
  if (tracks->capacity && !tracks->items) return refuse(EF_ERROR_NULL, "tracks.items", "a pointer, but got NULL");
  if (tracker->clock.goes_back(timestamp_ns) && !tracker->clock.is_another(timestamp_ns))
    return refuse(EF_ERROR_ARGUMENT, "timestamp_ns", "at least the last frame's %lld (ef_tracker_reset begins anew), but got %lld",
                  static_cast<long long>(tracker->clock.stamp()), static_cast<long long>(timestamp_ns));
  return guarded([&]() -> ef_status { return tracker->update(*found, timestamp_ns, scene, *tracks), EF_OK; });
}
