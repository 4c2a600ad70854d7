"""Write NanoAOD as CMSSW's RNTuple module lays it out: collections without a type, and no uuid of the file.

``python root_rntuple.py FILE`` with a Python that has ROOT; it made tests/unit/nano_collections.root.
"""

import sys

import ROOT

ROOT.gInterpreter.Declare(r"""
#include <ROOT/RField.hxx>
#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriter.hxx>

struct Item { float pt, eta, phi, mass, d0, dz; int pdgId; };

void write(const char *path) {
  using namespace ROOT;
  auto model = RNTupleModel::CreateBare();
  for (auto name : {"PFCands", "Jet"}) {
    std::vector<std::unique_ptr<RFieldBase>> fields;
    for (auto member : {"pt", "eta", "phi", "mass", "d0", "dz"})
      fields.push_back(std::make_unique<RField<float>>(member));
    fields.push_back(std::make_unique<RField<std::int32_t>>("pdgId"));
    auto record = std::make_unique<RRecordField>("_0", std::move(fields));
    model->AddField(RVectorField::CreateUntyped(name, std::move(record)));
  }
  model->AddField(std::make_unique<RField<std::uint32_t>>("run"));
  model->AddField(std::make_unique<RField<std::uint32_t>>("luminosityBlock"));
  model->AddField(std::make_unique<RField<std::uint64_t>>("event"));
  auto writer = RNTupleWriter::Recreate(std::move(model), "Events", path);
  std::uint32_t run = 1, lumi = 2;
  for (std::uint64_t event = 0; event < 5; event++) {
    std::vector<Item> items, jets{{100.f + event, 0.1f, 0.2f, 1, 0, 0, 0}};
    for (unsigned i = 0; i < 3 + event; i++)
      items.push_back({10.f + i + event, 0.1f * i, 0.2f * i, 0.14f, 0.01f, 0.02f, i % 2 ? 211 : 22});
    auto entry = writer->CreateEntry();
    entry->BindRawPtr<void>("PFCands", &items);
    entry->BindRawPtr<void>("Jet", &jets);
    entry->BindRawPtr("run", &run);
    entry->BindRawPtr("luminosityBlock", &lumi);
    entry->BindRawPtr("event", &event);
    writer->Fill(*entry);
    if (event == 2) writer->CommitCluster();
  }
}
""")
ROOT.write(sys.argv[1])
