from hypothesis import settings

settings.register_profile("edgecnn", derandomize=True, deadline=None)  # fixed seeds, no time assertions
settings.load_profile("edgecnn")
