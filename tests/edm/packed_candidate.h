// Packed candidates of MiniAOD, of class version 15 or 23 (PACKED_VERSION). Included by packed.h and classes.h,
// which have what is below: edm::Ref or edm::RefProd, reco::Candidate and reco::Vertex.
#ifndef E2EDIST_EDM_PACKED_CANDIDATE
#define E2EDIST_EDM_PACKED_CANDIDATE

#include <cstdint>
#include <vector>

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

#endif
