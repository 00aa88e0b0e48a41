# Container image, packages and manifests.
.PHONY: check-deploy check-cluster deploy-update
# Chart, overlays, examples and what monitoring/ puts into them, without a cluster; then the chart on a Kubernetes API of its own,
# whose programs take long to build, once.
check-deploy:
	@tests/deps run && $(MAKE) --no-print-directory all
	@B=$(B) deploy/check/run
	@python=$$(deploy/check/tools python) && PATH=$$python/bin:$$PATH PYTHONPATH=$$python $(MAKE) --no-print-directory check-monitoring
check-cluster:
	@deploy/check/cluster
deploy-update:
	@deploy/check/run update
# Root only, on Debian or Ubuntu: they install what they need with apt-get, and say so. No container engine is needed.
.PHONY: image image-test deb deb-test
image:
	@tests/deps run >/dev/null
	@deploy/image build && deploy/image check
# The image against a real broker and database: hardened by runc, ended by SIGTERM.
image-test:
	@deploy/image test
deb:
	@tests/deps run >/dev/null
	@deploy/deb build
deb-test: deb
	@deploy/deb check
# What is linked, with versions and licences (CycloneDX); on Debian and Ubuntu, whose package database it asks.
.PHONY: sbom
sbom: all
	@deploy/sbom $(B)/memingest >$(B)/memingest.cdx.json && echo "$(B)/memingest.cdx.json"
