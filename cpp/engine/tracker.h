// ef_tracker: what gives faces stable ids. A port of edgeface/tracking (motion, association, camera, jerk), whose comments say why; names
// and numbers are the same.
#ifndef EDGEFACE_ENGINE_TRACKER_H
#define EDGEFACE_ENGINE_TRACKER_H

#include <stdint.h>

#include <vector>

#include "edgeface/edgeface_engine.h"
#include "motion.h"

namespace ef {

// Turns time stamps into steps on a time line of its own, which always rises (edgeface/tracking/clock.py). Stamps are of any int64, 0 is none.
class FrameClock {
 public:
  explicit FrameClock(double fps) : nominal_ns(static_cast<uint64_t>(1e9 / fps + 0.5)) {}
  bool is_another(int64_t stamp) const;  // lies so far back that it must be of another clock, or of one that was set back
  bool goes_back(int64_t stamp) const { return stamped_ && stamp != 0 && stamp < stamp_; }
  double advance(int64_t stamp);  // seconds from the last frame
  void reset() { stamped_ = false; }
  int64_t stamp() const { return stamp_; }

  const uint64_t nominal_ns;  // between frames without time stamps
  uint64_t now = 0;           // of the last frame, on the own line

 private:
  bool stamped_ = false;
  int64_t stamp_ = 0;        // the last one
  uint64_t stamped_at_ = 0;  // that one on the own line
};

// The times of a video's frames: one that comes late by up to 0.2 s counts as of the last frame's time (Timeline in clock.py).
class Timeline {
 public:
  int64_t time_of(int64_t stamp);
  void reset() { last_ = 0; }

 private:
  int64_t last_ = 0;
};

// Usual time between the last frames.
class Pauses {
 public:
  void add(uint64_t ns) { kept_[count_++ % kKept] = ns; }
  double median(double otherwise) const;
  void reset() { count_ = 0; }

 private:
  static constexpr size_t kKept = 7;
  uint64_t kept_[kKept] = {};
  size_t count_ = 0;
};

struct Scene {  // all 0: not known
  uint32_t width, height, rotation;
};

struct Track {
  uint32_t id = 0;
  uint32_t hits = 1;
  bool missed = false, taken = false;
  int64_t first_stamp = 0;
  uint64_t last_seen = 0;  // on the clock's line
  ef_face face;  // as last detected
  BoxMotion motion;

  Track(const ef_face& f, uint64_t now, int64_t stamp) : first_stamp(stamp), last_seen(now), face(f), motion(f.box) {}
  bool confirmed() const { return id > 0; }
  double unseen_s(uint64_t now) const { return static_cast<double>(now - last_seen) / 1e9; }
  double reach(uint64_t now) const;
  void landmarks(float out[EF_LANDMARKS][2]) const;  // the last ones, moved with the predicted box
};

}  // namespace ef

struct ef_tracker {
  explicit ef_tracker(const ef_tracker_config& config);
  // Faces of `found` in, reported tracks out; both hold what ef_tracker_update has checked.
  void update(const ef_faces& found, int64_t timestamp_ns, const ef::Scene& scene, ef_tracks& tracks);
  void reset();

  ef_tracker_config config;
  ef::FrameClock clock;

 private:
  struct Pair {
    size_t track, face;
  };

  double go_on(int64_t timestamp_ns, const ef::Scene& scene);
  void take(const ef_faces& found);
  void pair(const std::vector<size_t>& tracks, const std::vector<size_t>& faces, double threshold, const double jerk[2]);
  void follow_camera(double since);
  void bury();
  void report(ef_tracks& tracks) const;

  std::vector<ef::Track> tracks_;
  std::vector<ef_face> faces_;  // those of this frame that are usable
  std::vector<Pair> pairs_;
  std::vector<size_t> rows_, good_, low_;
  std::vector<double> alike_;
  std::vector<const float*> before_, after_;
  ef::Scratch scratch_;
  uint32_t next_id_ = 1;
  bool panning_ = false, searched_ = false;
  uint64_t panned_ = 0, searched_at_ = 0;
  ef::Pauses pauses_;
  ef::Scene scene_ = {};
};

namespace ef {
// ef_tracker_update for frames whose size and rotation are known: at another one all tracks end.
ef_status track(ef_tracker* tracker, const ef_faces* found, int64_t timestamp_ns, const Scene& scene, ef_tracks* tracks);
}  // namespace ef

#endif
