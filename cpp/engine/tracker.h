// ef_tracker: what gives faces stable ids. A port of edgeface/tracking (motion, association, camera, jerk), whose comments say why; names
// and numbers are the same.
#ifndef EDGEFACE_ENGINE_TRACKER_H
#define EDGEFACE_ENGINE_TRACKER_H

#include <stdint.h>

#include <vector>

#include "edgeface/edgeface_engine.h"
#include "motion.h"

namespace ef {

// Time between frames, from their time stamps or from a nominal rate.
class FrameClock {
 public:
  explicit FrameClock(double fps) : nominal_ns_(static_cast<int64_t>(1e9 / fps + 0.5)) {}
  bool goes_back(int64_t timestamp_ns) const { return state_ == kStamped && timestamp_ns != 0 && timestamp_ns < now; }
  double advance(int64_t timestamp_ns);  // seconds from the last frame
  void reset() { state_ = kUnknown; }

  int64_t now = 0;

 private:
  enum State { kUnknown, kStamped, kNominal };
  int64_t nominal_ns_;
  State state_ = kUnknown;
};

struct Track {
  uint32_t id = 0;
  uint32_t hits = 1;
  bool missed = false, taken = false;
  int64_t first_seen = 0, last_seen = 0;
  ef_face face;  // as last detected
  BoxMotion motion;

  Track(const ef_face& f, int64_t now) : first_seen(now), last_seen(now), face(f), motion(f.box) {}
  bool confirmed() const { return id > 0; }
  double reach(int64_t now) const;
  void landmarks(float out[EF_LANDMARKS][2]) const;  // the last ones, moved with the predicted box
};

}  // namespace ef

struct ef_tracker {
  explicit ef_tracker(const ef_tracker_config& config);
  // Faces of `found` in, reported tracks out; both hold what ef_tracker_update has checked.
  void update(const ef_faces& found, int64_t timestamp_ns, ef_tracks& tracks);
  void reset();

  ef_tracker_config config;
  ef::FrameClock clock;

 private:
  struct Pair {
    size_t track, face;
  };

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
  bool panning_ = false;
  int64_t panned_ = 0;
};

#endif
