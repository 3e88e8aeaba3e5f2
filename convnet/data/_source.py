"""Where the files of a published data set are: on this machine, else on the network."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convnet.data._download import download

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """The places of one data set.

    Attributes
    ----------
    name : str
    below_convnet_data : sequence of str
        Folders of ``$CONVNET_DATA`` to look for, the first that is there counts.
    system_folders : sequence of str
        Folders to look for after those.
    mirrors : sequence of str
        Base URLs, tried in this order.
    hashes : mapping
        The files to download, as `download` takes them.
    """

    name: str
    below_convnet_data: Sequence[str]
    system_folders: Sequence[str]
    mirrors: Sequence[str]
    hashes: Mapping[str, str]

    def find(
        self,
        folder: str | os.PathLike[str] | None,
        mirrors: str | Sequence[str] | None,
        cache: str | os.PathLike[str] | None,
    ) -> Path:
        """Return the given folder, else one on this machine, else one with downloaded files.

        Raises
        ------
        DataError
            If a download fails.
        """
        where = self._local_folder() if folder is None else Path(folder)
        if where is not None:
            return where
        bases = self.mirrors if mirrors is None else [mirrors] if isinstance(mirrors, str) else mirrors
        return download(self.name, self.hashes, bases, cache)

    def _local_folder(self) -> Path | None:
        root = os.environ.get("CONVNET_DATA")
        folders = [Path(root, name) for name in self.below_convnet_data] if root else []
        folders += [Path(folder) for folder in self.system_folders]
        return next((folder for folder in folders if folder.is_dir()), None)
