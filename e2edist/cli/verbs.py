"""The verbs, in the order in which people meet them; each is a module ``e2edist.VERB``."""

#: Verb -> what it does.
VERBS = {
    "submit": "run a tagger over ROOT files",
    "status": "say how far a campaign is",
    "cancel": "stop a campaign and its jobs",
    "init": "write a site file with your account, image and pools",
    "doctor": "check that a site can run campaigns",
    "aggregate": "check the output of campaigns, and lay it into few sorted files",
    "report": "tell what campaigns found and took, as one page with figures",
    "validate": "compare a model's scores over all ways to run it",
    "convert": "make an ONNX file of a trained model, and validate it",
    "tune": "find the fastest settings of a site's pools for a tagger",
    "list": "list taggers, sites, layers, formats, engines, kinds of pools",
    "show": "say what a tagger, site, layer or plug-in is made of",
    "completion": "print the script with which a shell completes commands and names",
}
