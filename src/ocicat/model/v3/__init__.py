"""Every kind of Calico's v3 resources: fields, exact JSON names, defaults, and the rules that one field alone must keep. Pure.

`kinds.KINDS` lists them, `document` reads and writes them without losing what it does not know. What is stated here about a
field (`Annotated`) is data; `ocicat.validate` holds values to it. Source: projectcalico/calico, api/pkg/apis/projectcalico/v3,
api/config/crd and libcalico-go/lib/apis/internalapi (Node, WorkloadEndpoint).
"""
