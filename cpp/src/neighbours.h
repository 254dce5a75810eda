// Which kept boxes may overlap a new one: a hash of their centres, so that suppression of many faces is not quadratic.
#ifndef EDGEFACE_SRC_NEIGHBOURS_H
#define EDGEFACE_SRC_NEIGHBOURS_H

#include <stddef.h>
#include <stdint.h>

namespace ef {

// Chains of box numbers for each square of the picture, in levels: larger boxes lie in larger squares. The links lie in the upper halves
// of `links`, whose lower halves are the caller's.
class Neighbours {
 public:
  static constexpr uint32_t kFrom = 64;  // fewer boxes are looked through faster than looked up

  // heads: `count` of them, a power of two. side: of the smallest squares, in pixels.
  Neighbours(uint32_t* heads, uint32_t count, uint64_t* links, float side) : heads_(heads), mask_(count - 1), links_(links) {
    for (int i = 0; i < kLevels; ++i) {
      levels_[i].side = i ? 4 * levels_[i - 1].side : side;
      levels_[i].largest = i < kLevels - 1 ? 2 * levels_[i].side : __builtin_inf();
    }
  }

  void clear() {
    for (uint32_t i = 0; i <= mask_; ++i) heads_[i] = kNone;
    for (Level& level : levels_) level.widest = level.tallest = level.boxes = 0;
  }

  void insert(uint32_t k, const float box[4]) {
    const Shape shape(box);
    Level& level = levels_[level_of(shape)];
    ++level.boxes;
    level.widest = shape.width > level.widest ? shape.width : level.widest;
    level.tallest = shape.height > level.tallest ? shape.height : level.tallest;
    uint32_t& head = head_of(shape);
    link(k, head);
    head = k;
  }

  // The box is no longer `from`.
  void move(uint32_t k, const float from[4], const float to[4]) {
    const Shape shape(from);
    --levels_[level_of(shape)].boxes;
    uint32_t& head = head_of(shape);
    if (head == k) {
      head = next(k);
    } else {
      uint32_t before = head;
      while (next(before) != k) before = next(before);
      link(before, next(k));
    }
    insert(k, to);
  }

  // Calls visit(k) for every box whose IoU with `box` may be above `iou`, some of them more than once, and for others. False, and nothing is
  // called, where looking through all `boxes` of them is faster.
  template <typename Visit>
  bool each(const float box[4], float iou, uint32_t boxes, Visit visit) const {
    const Shape shape(box);
    const double size = shape.size(), smallest = size * iou * 0.999, largest = iou > 0 ? size / iou * 1.001 : __builtin_inf();
    Range ranges[kLevels];
    double squares = 0;
    for (int i = 0; i < kLevels; ++i) {
      const Level& level = levels_[i];
      if (!level.boxes || level.largest < smallest || (i && levels_[i - 1].largest > largest)) {
        ranges[i] = {0, 0, -1, -1};
        continue;
      }
      const double dx = reach(shape.width, level.widest, iou, shape.x), dy = reach(shape.height, level.tallest, iou, shape.y);
      ranges[i] = {square(shape.x - dx, i), square(shape.y - dy, i), square(shape.x + dx, i), square(shape.y + dy, i)};
      const Range& r = ranges[i];
      squares += (static_cast<double>(r.right) - r.left + 1) * (static_cast<double>(r.bottom) - r.top + 1);
    }
    if (!(squares < boxes / 2)) return false;
    for (int i = 0; i < kLevels; ++i)
      for (int32_t y = ranges[i].top; y <= ranges[i].bottom; ++y)
        for (int32_t x = ranges[i].left; x <= ranges[i].right; ++x)
          for (uint32_t k = heads_[hash(x, y, i)]; k != kNone; k = next(k)) visit(k);
    return true;
  }

 private:
  static constexpr int kLevels = 8;
  static constexpr uint32_t kNone = 0xffffffffu;

  struct Shape {
    double x, y, width, height;  // of the centre, in pixels
    explicit Shape(const float box[4])
        : x((static_cast<double>(box[0]) + box[2]) / 2),
          y((static_cast<double>(box[1]) + box[3]) / 2),
          width(static_cast<double>(box[2]) - box[0]),
          height(static_cast<double>(box[3]) - box[1]) {}
    double size() const { return width > height ? width : height; }
  };

  struct Level {
    double side;     // of its squares
    double largest;  // box that belongs here
    double widest, tallest;
    uint32_t boxes;
  };

  struct Range {
    int32_t left, top, right, bottom;
  };

  int level_of(const Shape& shape) const {
    int i = 0;
    while (i < kLevels - 1 && shape.size() > levels_[i].largest) ++i;
    return i;
  }

  // How far from a box's centre another one's may be along one axis: neither is then longer than the other over `iou`.
  static double reach(double side, double longest, float iou, double at) {
    const double similar = iou > 0 ? side / iou : longest;
    const double margin = 0.5 + (at < 0 ? -at : at) * 1e-5;  // for what boxes have been rounded by
    return (side + (similar < longest ? similar : longest)) / 2 + margin;
  }

  int32_t square(double at, int level) const {
    const double limit = 1e9, v = at / levels_[level].side;
    if (!(v > -limit)) return static_cast<int32_t>(-limit);
    if (!(v < limit)) return static_cast<int32_t>(limit);
    const int32_t whole = static_cast<int32_t>(v);
    return v < whole ? whole - 1 : whole;
  }

  uint32_t hash(int32_t x, int32_t y, int level) const {
    uint32_t h = static_cast<uint32_t>(x) * 0x9e3779b1u ^ static_cast<uint32_t>(y) * 0x85ebca77u ^ static_cast<uint32_t>(level) * 0xc2b2ae3du;
    h ^= h >> 15;
    return h & mask_;
  }

  uint32_t& head_of(const Shape& shape) {
    const int level = level_of(shape);
    return heads_[hash(square(shape.x, level), square(shape.y, level), level)];
  }

  uint32_t next(uint32_t k) const { return static_cast<uint32_t>(links_[k] >> 32); }
  void link(uint32_t k, uint32_t to) { links_[k] = static_cast<uint64_t>(to) << 32 | static_cast<uint32_t>(links_[k]); }

  uint32_t* heads_;
  uint32_t mask_;
  uint64_t* links_;
  Level levels_[kLevels] = {};
};

}  // namespace ef
#endif
