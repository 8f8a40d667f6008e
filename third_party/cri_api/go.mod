module podvisor/third_party/cri_api

go 1.24

require k8s.io/cri-api v0.37.2
