# Container image, packages and manifests.
