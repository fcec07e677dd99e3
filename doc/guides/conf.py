# SPDX-License-Identifier: BSD-3-Clause
"""Sphinx configuration of the guides.

Version and release are given by the build (doc/guides/meson.build).
"""

project = 'vhost-pci'
author = 'The vhost-pci authors'
copyright = '2026, The vhost-pci authors'

extensions = []
exclude_patterns = []
root_doc = 'index'
highlight_language = 'none'
nitpicky = True

html_theme = 'sphinx_rtd_theme'
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {'navigation_depth': 4}
