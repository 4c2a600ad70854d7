// Packed candidates of MiniAOD and their vertices, as CMSSW lays them out: of class version 15 (CMSSW 7_2, each
// with a whole reference to its vertex) or 23 (with its index, and the direction of the track).
// write_packed.py compiles it. References are streamed by hand, as CMSSW does: version and numbers, no byte count.
#ifndef E2EDIST_EDM_PACKED
#define E2EDIST_EDM_PACKED

#include <Math/Cartesian3D.h>
#include <Math/PositionVector3D.h>
#include <Rtypes.h>
#include <TBuffer.h>
#include <TClass.h>
#include <TClassStreamer.h>

#include <cstdint>
#include <vector>

namespace edm {
struct WrapperBase { virtual ~WrapperBase() {} };
template <class T> struct Wrapper : WrapperBase {
  bool present = true;
  T obj;
};
struct RefCore { unsigned short processIndex_ = 4, productIndex_ = 405; };
struct RefCoreWithIndex { unsigned short processIndex_ = 4, productIndex_ = 405; unsigned int elementIndex_ = 0; };
template <class T> struct Ref { RefCoreWithIndex product_; };
template <class T> struct RefProd { RefCore product_; };
}  // namespace edm

namespace reco {
struct Candidate { virtual ~Candidate() {} };
struct Vertex {
  float chi2_ = 1, ndof_ = 2;
  ROOT::Math::PositionVector3D<ROOT::Math::Cartesian3D<Double32_t>> position_;
  bool validity_ = true;
};
}  // namespace reco

#include "packed_candidate.h"

namespace packed {
struct Stream : TClassStreamer {
  bool index;
  explicit Stream(bool index) : index(index) {}
  TClassStreamer* Generate() const override { return new Stream(*this); }
  void operator()(TBuffer& buffer, void* object) override {
    auto* core = static_cast<edm::RefCoreWithIndex*>(object);  // an edm::RefCore begins in the same way
    buffer << Version_t(11) << core->processIndex_ << core->productIndex_;
    if (index) buffer << core->elementIndex_;
  }
};
inline void adopt() {
  TClass::GetClass("edm::RefCore")->AdoptStreamer(new Stream(false));
  TClass::GetClass("edm::RefCoreWithIndex")->AdoptStreamer(new Stream(true));
}
}  // namespace packed

#endif
