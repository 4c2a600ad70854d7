// CMS event data as CMSSW lays it out, enough of it for hits, tracks, vertices, candidates and event numbers:
// what EDM_ERA stands for is CMSSW 4_2 (42: no class versions, so that files hold checksums instead; 32-bit event
// numbers), 7_2 (72: versions, 64-bit event numbers, candidates with pt_, eta_, phi_) or 12_5 (125).
// write.py compiles it. Names, order, types and versions of members were looked up in files of these releases.
#ifndef E2EDIST_EDM_CLASSES
#define E2EDIST_EDM_CLASSES

#include <Math/Cartesian3D.h>
#include <Math/DisplacementVector3D.h>
#include <Math/LorentzVector.h>
#include <Math/PositionVector3D.h>
#include <Math/PtEtaPhiM4D.h>
#include <Rtypes.h>
#include <TFile.h>
#include <TTree.h>
#include <TVirtualStreamerInfo.h>

#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace edm {
template <class T> struct StrictWeakOrdering {};
template <class T, class S = StrictWeakOrdering<T>> struct SortedCollection { std::vector<T> obj; };
template <int I> struct Hash { std::string hash_; };
struct Timestamp { unsigned int timeLow_ = 1, timeHigh_ = 2; };
struct EventID {
  unsigned int run_ = 0, luminosityBlock_ = 0;
#if EDM_ERA == 42
  unsigned int event_ = 0;
#else
  unsigned long long event_ = 0;
#endif
};
struct EventAuxiliary {
  enum ExperimentType { Undefined = 0, Any = 1, Data = 2 };
  Hash<2> processHistoryID_;
  EventID id_;
  std::string processGUID_;
  Timestamp time_;
  unsigned int luminosityBlock_ = 0;
  bool isRealData_ = true;
#if EDM_ERA >= 74
  ExperimentType experimentType_ = Data;
#else
  int experimentType_ = 2;
#endif
  int bunchCrossing_ = 3, orbitNumber_ = 4, storeNumber_ = 5;
};
#if EDM_ERA == 42
struct EDProduct { virtual ~EDProduct() {} };
using Base = EDProduct;
#else
struct ViewTypeChecker { virtual ~ViewTypeChecker() {} };
struct WrapperBase : ViewTypeChecker {};
using Base = WrapperBase;
#endif
template <class T> struct Wrapper : Base {
  bool present = true;
  T obj;
};
struct RefCore { unsigned short processIndex_ = 1, productIndex_ = 7; };
template <class T> struct Ref { RefCore product_; unsigned int index_ = 3; };
template <class T> struct Ptr { RefCore core_; unsigned int key_ = 4; };
template <class T> struct RefProd { RefCore product_; };
}  // namespace edm

struct DetId { unsigned int id_ = 0; };
struct CaloRecHit {
  virtual ~CaloRecHit() {}
  DetId id_;
  float energy_ = 0, time_ = 0;
  unsigned int flags_ = 5, aux_ = 6;
};
#if EDM_ERA == 42
struct EcalRecHit : CaloRecHit { unsigned int flagBits_ = 7; };
struct HBHERecHit : CaloRecHit {};
#else
struct EcalRecHit { DetId id_; float energy_ = 0, time_ = 0; unsigned int flagBits_ = 7, extra_ = 8; };
struct HBHERecHit : CaloRecHit {
  float timeFalling_ = 1, chiSquared_ = 2, rawEnergy_ = 3, auxEnergy_ = 4;
  unsigned int auxHBHE_ = 9, auxPhase1_ = 10, auxTDC_ = 11;
};
#endif

namespace reco {
using Point = ROOT::Math::PositionVector3D<ROOT::Math::Cartesian3D<Double32_t>>;
using FloatPoint = ROOT::Math::PositionVector3D<ROOT::Math::Cartesian3D<float>>;
// Double, though CMSSW stores floats: so tracks are those of the files that the events come from.
using TrackPoint = ROOT::Math::PositionVector3D<ROOT::Math::Cartesian3D<double>>;
using TrackVector = ROOT::Math::DisplacementVector3D<ROOT::Math::Cartesian3D<double>>;
using PolarLorentzVector = ROOT::Math::LorentzVector<ROOT::Math::PtEtaPhiM4D<Double32_t>>;

struct Candidate { virtual ~Candidate() {} };
#if EDM_ERA == 125
struct ParticleState {
  Point vertex_;
  PolarLorentzVector p4Polar_;
  int qx3_ = 3, pdgId_ = 22, status_ = 1;
};
struct LeafCandidate : Candidate { ParticleState m_state; };
#else
struct LeafCandidate : Candidate {
  int qx3_ = 3;
  float pt_ = 0, eta_ = 0, phi_ = 0, mass_ = 0;
  Point vertex_;
  int pdgId_ = 22, status_ = 1;
};
#endif
struct RecoCandidate : LeafCandidate {};
struct CompositePtrCandidate : LeafCandidate { std::vector<edm::Ptr<Candidate>> dau; };
struct Jet : CompositePtrCandidate { float mJetArea = 1, mPileupEnergy = 2; int mPassNumber = 3; };
struct PFJet : Jet {
  struct Specific { float mChargedHadronEnergy = 1, mNeutralHadronEnergy = 2; int mChargedMultiplicity = 3; };
  Specific m_specific;
};
struct PhotonCore {};
struct Photon : RecoCandidate {
  struct FiducialFlags { bool isEB = true, isEE = false, isEBEtaGap = true; };
  struct ShowerShape { float sigmaIetaIeta = 1, e3x3 = 2, hcalDepth1OverEcal = 3; };
  FloatPoint caloPosition_;
  edm::Ref<std::vector<PhotonCore>> photonCore_;
  bool pixelSeed_ = true;
  FiducialFlags fiducialFlagBlock_;
  ShowerShape showerShapeBlock_;
  float haloTaggerMVAVal_ = 4;
};
struct GsfElectronCore {};
struct GsfElectron : RecoCandidate {
  struct ClosestCtfTrack { edm::Ref<std::vector<PhotonCore>> ctfTrack; float shFracInnerHits = 1; };
  edm::Ref<std::vector<GsfElectronCore>> core_;
  ClosestCtfTrack closest_;
  int class_ = 2;
  bool passCutBasedPreselection_ = true;
  std::vector<float> mva_;
};
struct TrackBase {
  float covariance_[15] = {1, 2, 3};
  float chi2_ = 1;
  TrackPoint vertex_;
  TrackVector momentum_;
  float ndof_ = 2;
  char charge_ = 1;
  unsigned char algorithm_ = 4, quality_ = 0;
  signed char nLoops_ = 0;
};
struct TrackExtra {};
struct Track : TrackBase { virtual ~Track() {} edm::Ref<std::vector<TrackExtra>> extra_; };
struct Vertex {
  float chi2_ = 1, ndof_ = 2;
  TrackPoint position_;
  float covariance_[6] = {1, 2, 3, 4, 5, 6};
  std::vector<edm::Ref<std::vector<Track>>> tracks_;
  std::vector<unsigned char> weights_;
  bool validity_ = true;
  double time_ = 0;
};
}  // namespace reco

namespace pat {
template <class T> struct PATObject : T {
  edm::Ptr<reco::Candidate> refToOrig_;
  std::vector<std::pair<std::string, float>> userFloats_;
  std::vector<std::string> userIntLabels_;
  std::vector<int> userInts_;
};
struct Photon : PATObject<reco::Photon> { bool embedSuperCluster_ = true; std::map<std::string, float> ids_; };
struct Electron : PATObject<reco::GsfElectron> { float ecalEnergy_ = 5; };
struct Jet : PATObject<reco::Jet> { std::vector<reco::PFJet::Specific> specificPF_; float jetCharge_ = 6; };
}  // namespace pat
#if EDM_ERA == 125
#define PACKED_VERSION 23
#include "packed_candidate.h"
#endif

// Columns by name, as "EB_energy"; every number that is written fits a double.
struct Events {
  std::map<std::string, std::vector<double>> columns;
  std::map<std::string, std::vector<long>> offsets;
  void column(const std::string& name, const double* values, long count) {
    columns[name].assign(values, values + count);
  }
  void rows(const std::string& table, const long* values, long count) {
    offsets[table].assign(values, values + count);
  }
  double at(const std::string& name, long row) const { return columns.at(name).at(row); }
};

namespace writing {
inline void fill(EcalRecHit& hit, const Events& from, const std::string& table, long row) {
  hit.id_.id_ = from.at(table + "_detid", row);
  hit.energy_ = from.at(table + "_energy", row);
  hit.time_ = from.at(table + "_time", row);
}
inline void fill(HBHERecHit& hit, const Events& from, const std::string& table, long row) {
  hit.id_.id_ = from.at(table + "_detid", row);
  hit.energy_ = from.at(table + "_energy", row);
  hit.time_ = from.at(table + "_time", row);
}
inline void fill(reco::Track& track, const Events& from, const std::string& table, long row) {
  track.vertex_.SetXYZ(from.at(table + "_vx", row), from.at(table + "_vy", row), from.at(table + "_vz", row));
  track.momentum_.SetXYZ(from.at(table + "_px", row), from.at(table + "_py", row), from.at(table + "_pz", row));
  track.quality_ = from.at(table + "_quality", row);
}
inline void fill(reco::Vertex& vertex, const Events& from, const std::string& table, long row) {
  vertex.position_.SetXYZ(from.at(table + "_x", row), from.at(table + "_y", row), from.at(table + "_z", row));
  vertex.tracks_.resize(row % 3);
  vertex.weights_.resize(row % 3, 200);
}
#if EDM_ERA == 125
inline void fill(pat::PackedCandidate& one, const Events& from, const std::string& table, long row) {
  one.packedPt_ = from.at(table + "_pt", row);
  one.packedEta_ = from.at(table + "_eta", row);
  one.packedPhi_ = from.at(table + "_phi", row);
  one.packedDxy_ = from.at(table + "_dxy", row);
  one.packedDz_ = from.at(table + "_dz", row);
  one.packedDPhi_ = from.at(table + "_dphi", row);
  one.packedDEta_ = from.at(table + "_deta", row);
  one.packedDTrkPt_ = from.at(table + "_dpt", row);
  one.pdgId_ = from.at(table + "_pdg", row);
  one.qualityFlags_ = from.at(table + "_flags", row);
  one.pvRefKey_ = from.at(table + "_key", row);
}
#endif
// What no one reads, of all lengths, lies before and behind what is read.
inline void clutter(reco::LeafCandidate&, long) {}
inline void clutter(reco::GsfElectron& electron, long row) { electron.mva_.resize(row % 4, 1.5f); }
inline void clutter(reco::Jet& jet, long row) { jet.dau.resize(row % 5); }
template <class T> void pat_clutter(pat::PATObject<T>& object, long row) {
  clutter(static_cast<T&>(object), row);
  object.userFloats_.resize(row % 3, {"a float of the user", 1.f});
  object.userIntLabels_.resize(row % 2, std::string(row % 2 ? 300 : 3, 'x'));  // a long string has another count
  object.userInts_.resize(row % 2, 4);
}
inline void clutter(pat::Photon& photon, long row) { pat_clutter(photon, row); if (row % 2) photon.ids_["loose"] = 1; }
inline void clutter(pat::Electron& electron, long row) { pat_clutter(electron, row); }
inline void clutter(pat::Jet& jet, long row) { pat_clutter(jet, row); jet.specificPF_.resize(row % 2); }

template <class T> void fill(T& candidate, const Events& from, const std::string& table, long row) {
  const double pt = from.at(table + "_pt", row), eta = from.at(table + "_eta", row), phi = from.at(table + "_phi", row);
#if EDM_ERA == 125
  candidate.m_state.p4Polar_.SetCoordinates(0, 0, 0, 0);
  // Through the coordinates themselves, which normalise nothing.
  const_cast<ROOT::Math::PtEtaPhiM4D<Double32_t>&>(candidate.m_state.p4Polar_.Coordinates()) =
      ROOT::Math::PtEtaPhiM4D<Double32_t>(pt, eta, phi, 0);
#else
  candidate.pt_ = pt;
  candidate.eta_ = eta;
  candidate.phi_ = phi;
#endif
  clutter(candidate, row);
}

struct Product {
  virtual ~Product() {}
  virtual void next(const Events& from, long event) = 0;
};
template <class T> std::vector<T>& rows_of(std::vector<T>& rows) { return rows; }
template <class T> std::vector<T>& rows_of(edm::SortedCollection<T>& rows) { return rows.obj; }
template <class T> struct ProductOf : Product {
  std::string table;
  edm::Wrapper<T>* wrapper = new edm::Wrapper<T>;
  ProductOf(TTree& tree, const std::string& table, const std::string& branch, int split) : table(table) {
    tree.Branch(branch.c_str(), &wrapper, 16000, split);
  }
  void next(const Events& from, long event) override {
    auto& rows = rows_of(wrapper->obj);
    const auto& offsets = from.offsets.at(table);
    rows.clear();
    for (long row = offsets.at(event); row < offsets.at(event + 1); row++) {
      rows.emplace_back();
      fill(rows.back(), from, table, row);
    }
    wrapper->present = true;
  }
};

// What is written, and how: `hits` and `rest` are the split levels of the hits and of all else.
struct Form { bool member_wise, mini; int hits, rest, compression; };

inline void write(const char* path, const Events& from, long count, const Form& form) {
  TVirtualStreamerInfo::SetStreamMemberWise(form.member_wise);
  TFile file(path, "RECREATE", "", form.compression);
  auto* tree = new TTree("Events", "");
  tree->SetAutoFlush(64);
  auto* auxiliary = new edm::EventAuxiliary;
  auxiliary->processHistoryID_.hash_ = std::string("\x01\x02\x03\xff", 4) + std::string(12, 'h');
  auxiliary->processGUID_ = "0123456789abcdef";
  tree->Branch("EventAuxiliary", &auxiliary, 16000, 0);
  std::vector<std::unique_ptr<Product>> products;
  using Ecal = edm::SortedCollection<EcalRecHit>;
  using Hcal = edm::SortedCollection<HBHERecHit>;
  const auto add = [&](auto* type, const char* table, const char* branch, int split) {
    products.emplace_back(new ProductOf<std::remove_pointer_t<decltype(type)>>(*tree, table, branch, split));
  };
  if (form.mini) {
    add((Ecal*)nullptr, "EB", "EcalRecHitsSorted_reducedEgamma_reducedEBRecHits_PAT.", form.hits);
    add((Ecal*)nullptr, "EE", "EcalRecHitsSorted_reducedEgamma_reducedEERecHits_PAT.", form.hits);
    add((Hcal*)nullptr, "HBHE", "HBHERecHitsSorted_reducedEgamma_reducedHBHEHits_PAT.", form.hits);
    add((std::vector<reco::Vertex>*)nullptr, "vertices", "recoVertexs_offlineSlimmedPrimaryVertices__PAT.", form.rest);
    add((std::vector<pat::Photon>*)nullptr, "photon", "patPhotons_slimmedPhotons__PAT.", form.rest);
    add((std::vector<pat::Electron>*)nullptr, "electron", "patElectrons_slimmedElectrons__PAT.", form.rest);
    add((std::vector<pat::Jet>*)nullptr, "jet", "patJets_slimmedJets__PAT.", form.rest);
#if EDM_ERA == 125
    using Packed = std::vector<pat::PackedCandidate>;
    if (from.offsets.count("packed")) {  // of these two CMSSW splits the first only
      add((Packed*)nullptr, "packed", "patPackedCandidates_packedPFCandidates__PAT.", 99);
      add((Packed*)nullptr, "lost", "patPackedCandidates_lostTracks__PAT.", 0);
    }
#endif
  } else {
    add((Ecal*)nullptr, "EB", "EcalRecHitsSorted_reducedEcalRecHitsEB__RECO.", form.hits);
    add((Ecal*)nullptr, "EE", "EcalRecHitsSorted_reducedEcalRecHitsEE__RECO.", form.hits);
    add((Hcal*)nullptr, "HBHE", "HBHERecHitsSorted_reducedHcalRecHits_hbhereco_RECO.", form.hits);
    add((std::vector<reco::Track>*)nullptr, "tracks", "recoTracks_generalTracks__RECO.", form.rest);
    add((std::vector<reco::Vertex>*)nullptr, "vertices", "recoVertexs_offlinePrimaryVertices__RECO.", form.rest);
    add((std::vector<reco::Photon>*)nullptr, "photon", "recoPhotons_photons__RECO.", form.rest);
    add((std::vector<reco::GsfElectron>*)nullptr, "electron", "recoGsfElectrons_gsfElectrons__RECO.", form.rest);
    add((std::vector<reco::PFJet>*)nullptr, "jet", "recoPFJets_ak5PFJets__RECO.", form.rest);
  }
  for (long event = 0; event < count; event++) {
    auxiliary->id_.run_ = from.at("run", event);
    auxiliary->id_.luminosityBlock_ = auxiliary->luminosityBlock_ = from.at("lumi", event);
    auxiliary->id_.event_ = from.at("event", event);
    for (auto& product : products) product->next(from, event);
    tree->Fill();
  }
  tree->Write("", TObject::kOverwrite);
  file.Close();
}
}  // namespace writing

#endif
