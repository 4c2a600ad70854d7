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

namespace pat {
struct PackedCandidate : reco::Candidate {
  uint16_t packedPt_ = 0, packedEta_ = 0, packedPhi_ = 0, packedM_ = 0, packedDxy_ = 0, packedDz_ = 0, packedDPhi_ = 0;
#if PACKED_VERSION == 15
  uint16_t packedCovarianceDxyDxy_ = 1, packedCovarianceDxyDz_ = 2, packedCovarianceDzDz_ = 3;
  int8_t packedCovarianceDlambdaDz_ = 4, packedCovarianceDphiDxy_ = 5;
#else
  uint16_t packedDEta_ = 0, packedDTrkPt_ = 0;
  int8_t packedPuppiweight_ = 6, packedPuppiweightNoLepDiff_ = 7;
  uint8_t hcalFraction_ = 8;
  bool isIsolatedChargedHadron_ = true;
#endif
  int pdgId_ = 0;
  uint16_t qualityFlags_ = 0;
#if PACKED_VERSION == 15
  edm::Ref<std::vector<reco::Vertex>> pvRef_;
#else
  edm::RefProd<std::vector<reco::Vertex>> pvRefProd_;
  unsigned int pvRefKey_ = 0;
#endif
  uint8_t packedHits_ = 9, normalizedChi2_ = 10;
};
}  // namespace pat

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
