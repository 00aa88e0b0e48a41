# Metrics, alerts and dashboards.
.PHONY: monitoring check-monitoring monitoring-proof
monitoring:
	@monitoring/sync
check-monitoring:
	@monitoring/check
	@promtool=$$(monitoring/fetch promtool) && $$promtool check rules monitoring/rules/*.yaml && $$promtool test rules monitoring/tests/*.yaml
	@if command -v yamllint >/dev/null; then yamllint --strict -c monitoring/yamllint.yaml monitoring; \
		else echo "check-monitoring: yamllint is not here, YAML style is not checked"; fi
monitoring-proof: all
	@B=$(B) monitoring/proof
